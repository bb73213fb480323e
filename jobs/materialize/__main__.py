"""`python -m jobs.materialize`."""

from __future__ import annotations

from jobs import console
from jobs.materialize.run import JOB

console.main(JOB)
