"""`python -m jobs.flags`."""

from __future__ import annotations

from jobs import console
from jobs.flags.run import JOB

console.main(JOB)
