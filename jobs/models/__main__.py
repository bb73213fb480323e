"""`python -m jobs.models`."""

from __future__ import annotations

from jobs import console
from jobs.models.run import JOB

console.main(JOB)
