"""`python -m jobs.compact`."""

from __future__ import annotations

from jobs import console
from jobs.compact.run import JOB

console.main(JOB)
