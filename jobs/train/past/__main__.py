"""Run `python -m jobs.train.past`."""

from __future__ import annotations

from jobs import console
from jobs.train.past.run import JOB

console.main(JOB)
