"""Show models, their history and their cards; let an alias name another model."""
