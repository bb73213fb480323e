"""Access: who may do what, who sees which rows and fields, and the keys that say who it is."""
