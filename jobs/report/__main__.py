"""`python -m jobs.report`."""

from __future__ import annotations

from jobs import console
from jobs.report.run import JOB

console.main(JOB)
