"""`python -m jobs.simulate`."""

from __future__ import annotations

from jobs import console
from jobs.simulate.run import JOB

console.main(JOB)
