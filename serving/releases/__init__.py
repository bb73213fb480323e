"""Releases: who meets which arm, what is held against a candidate, and when it goes on or back."""
