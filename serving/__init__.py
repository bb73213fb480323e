"""The answers: the model, its bundle and registry, the rules, and what is decided from them."""
