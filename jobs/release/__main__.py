"""`python -m jobs.release`."""

from __future__ import annotations

from jobs import console
from jobs.release.run import JOB

console.main(JOB)
