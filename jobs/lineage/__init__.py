"""Show what a thing was made from, down to the row of a file, and what was made from it."""
