"""`python -m jobs.replay`."""

from __future__ import annotations

from jobs import console
from jobs.replay.run import JOB

console.main(JOB)
