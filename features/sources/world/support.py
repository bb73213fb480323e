"""Support: requests to the desk, how long they stay open, and how satisfied the askers are.

Recent requests raise the hazard that a deal is lost and that a customer leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.sources.world.chance import HOUR, SECOND, WEEK

SUBJECTS = ("login", "billing", "question", "defect")
LOG_SECONDS = (10.4, 1.2)  # mean and spread of the log of the seconds until it is resolved
ANSWERS = 0.4  # share of the askers who say how satisfied they are
BEST = 10
RECENT_WEEKS, MOST_RECENT = 4, 3  # how far and how much a hazard looks back


@dataclass(frozen=True, kw_only=True)
class Tickets:
    """Requests; arrays of one entry per request."""

    account: np.ndarray
    opened: np.ndarray  # microseconds
    resolved: np.ndarray  # microseconds
    subject: np.ndarray  # position in SUBJECTS
    satisfaction: np.ndarray  # 1 to BEST, 0 without an answer


def tickets(rng: np.random.Generator, account: np.ndarray, opened: np.ndarray) -> Tickets:
    """Draw what becomes of requests: the longer they stay open, the less satisfied the askers."""
    seconds = rng.normal(*LOG_SECONDS, len(opened))
    mood = 8.0 - 1.2 * (seconds - LOG_SECONDS[0]) + rng.normal(0.0, 1.5, len(opened))
    satisfaction = np.clip(mood.round(), 1, BEST).astype(np.int64)
    return Tickets(
        account=account,
        opened=opened,
        resolved=opened + HOUR // 6 + np.exp(seconds).astype(np.int64) * SECOND,
        subject=rng.integers(0, len(SUBJECTS), len(opened)),
        satisfaction=np.where(rng.random(len(opened)) < ANSWERS, satisfaction, 0),
    )


def joined(one: Tickets, other: Tickets) -> Tickets:
    """Return both as one."""
    return Tickets(
        **{name: np.concatenate([own, getattr(other, name)]) for name, own in vars(one).items()}
    )


def recent(asked: Tickets, accounts: int, weeks: int) -> np.ndarray:
    """Count the requests in the weeks before each week: shape (accounts, weeks), at most three."""
    cells = asked.account * weeks + np.minimum(asked.opened // WEEK, weeks - 1)
    total = np.cumsum(np.bincount(cells, minlength=accounts * weeks).reshape(accounts, weeks), 1)
    before = np.concatenate([np.zeros((accounts, 1), dtype=np.int64), total[:, :-1]], axis=1)
    past = np.zeros_like(before)
    past[:, RECENT_WEEKS:] = before[:, :-RECENT_WEEKS]
    return np.asarray(np.minimum(before - past, MOST_RECENT))
