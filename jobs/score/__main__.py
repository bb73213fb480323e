"""`python -m jobs.score`."""

from __future__ import annotations

from jobs import console
from jobs.score.run import JOB

console.main(JOB)
