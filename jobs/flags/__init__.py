"""Look at flags and at what accounts were told, and whether they come as their weights say."""
