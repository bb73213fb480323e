"""The catalogue of features: what they say, who uses them, how they are, and what was changed."""
