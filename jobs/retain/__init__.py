"""Remove what is older than it may be kept, and hold what must stay."""
