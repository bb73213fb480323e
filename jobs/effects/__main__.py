"""`python -m jobs.effects`."""

from __future__ import annotations

from jobs import console
from jobs.effects.run import JOB

console.main(JOB)
