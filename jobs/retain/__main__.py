"""`python -m jobs.retain`."""

from __future__ import annotations

from jobs import console
from jobs.retain.run import JOB

console.main(JOB)
