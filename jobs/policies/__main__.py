"""`python -m jobs.policies`."""

from __future__ import annotations

from jobs import console
from jobs.policies.run import JOB

console.main(JOB)
