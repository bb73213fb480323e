"""Effects of actions: doubly robust, cross-fitted, with their evidence. Pure."""
