"""`python -m jobs.features`."""

from __future__ import annotations

from jobs import console
from jobs.features.run import JOB

console.main(JOB)
