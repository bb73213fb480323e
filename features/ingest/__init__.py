"""Ingestion: rows through their contracts into the log, or into quarantine, each exactly once."""

from __future__ import annotations

from features.ingest.outcome import Ingested
from features.ingest.repairs import repair
from features.ingest.run import Source, source
from features.ingest.table import ingest

__all__ = ["Ingested", "Source", "ingest", "repair", "source"]
