"""Materialize feature rows: point in time, over the whole log, as one snapshot."""
