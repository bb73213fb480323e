"""Show the contracts in force and their change log; check what new ones would change."""
