"""Run `python -m jobs.train`."""

from __future__ import annotations

from jobs import console
from jobs.train.run import JOB

console.main(JOB)
