"""`python -m jobs.contracts`."""

from __future__ import annotations

from jobs import console
from jobs.contracts.run import JOB

console.main(JOB)
