"""Compute views of campaigns, reps and segments over all buckets of the log."""
