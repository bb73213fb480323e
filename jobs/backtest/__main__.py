"""`python -m jobs.backtest`."""

from __future__ import annotations

from jobs import console
from jobs.backtest.run import JOB

console.main(JOB)
