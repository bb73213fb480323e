"""`python -m jobs.ingest`."""

from __future__ import annotations

from jobs import console
from jobs.ingest.run import JOB

console.main(JOB)
