"""Run `python -m jobs.train.leaks`."""

from __future__ import annotations

from jobs import console
from jobs.train.leaks.run import JOB

console.main(JOB)
