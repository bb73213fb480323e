"""`python -m jobs.rollup`."""

from __future__ import annotations

from jobs import console
from jobs.rollup.run import JOB

console.main(JOB)
