"""`python -m jobs.lineage`."""

from __future__ import annotations

from jobs import console
from jobs.lineage.run import JOB

console.main(JOB)
