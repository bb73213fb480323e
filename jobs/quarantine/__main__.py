"""`python -m jobs.quarantine`."""

from __future__ import annotations

from jobs import console
from jobs.quarantine.run import JOB

console.main(JOB)
