"""Erase persons: their keys, what they said and did, and every copy of it."""
