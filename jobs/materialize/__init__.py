"""Materialize feature rows: point in time, over all buckets of the log, as one committed snapshot."""
