"""The search for leaks: columns that know the outcome from a time after T, each with its evidence.

A `leak` is a column that could not have been known at T. A `suspect` is one to ask about: it may be
a strong sign that was known in time.
"""

from __future__ import annotations

from jobs.train.leaks.finding import Finding
from jobs.train.leaks.known import told
from jobs.train.leaks.searching import leaking, said, search
from jobs.train.leaks.table import Audited, Question, audit
from jobs.train.leaks.training import OnlyLeaks, found_in, left_out

__all__ = [
    "Audited",
    "Finding",
    "OnlyLeaks",
    "Question",
    "audit",
    "found_in",
    "leaking",
    "left_out",
    "said",
    "search",
    "told",
]
