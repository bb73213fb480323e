"""Ingest a source: its rows through their contracts into the event log, bad rows into quarantine."""
