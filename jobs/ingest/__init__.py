"""Ingest a source: its rows through their contracts into the log, bad ones into quarantine."""
