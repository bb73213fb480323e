"""Effort: calls, meetings and e-mails of reps, who have only so many in a week.

Work is wished for by leads and deals; in each week a rep does the most urgent of it and the rest is
never done. Effort follows interest and does not cause it: only the randomised outreach does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.sources.world.chance import OFFICE, WEEK, moments

NAMES = ("call", "email", "meeting")
LOG_SECONDS = np.array([[5.4, 0.7], [5.2, 0.4], [7.6, 0.4]])  # mean and spread of the log, by name
LEAD_SHARES = (0.45, 0.45, 0.10)
DEAL_SHARES = (0.30, 0.40, 0.30)
LEAD_RATE, DEAL_RATE = 0.22, 0.9  # wishes per week at drive 0
OUTREACH_WISHES = 2  # of a treated lead, in the days after the lot


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Pieces of work in no order; arrays of one entry per piece."""

    row: np.ndarray  # position of the lead or deal
    is_deal: np.ndarray  # whether `row` is a deal's
    rep: np.ndarray
    name: np.ndarray  # position in NAMES
    time: np.ndarray  # microseconds
    urgency: np.ndarray

    def where(self, keep: np.ndarray) -> Effort:
        """Return the pieces with a true entry in `keep`, or those at the positions in `keep`."""
        return Effort(**{name: values[keep] for name, values in vars(self).items()})


def wishes(
    rng: np.random.Generator, drive: np.ndarray, week: np.ndarray, rep: np.ndarray, *, is_deal: bool
) -> Effort:
    """Draw what leads or deals wish for in every week of their life (axis 1 of `drive`)."""
    rate = (DEAL_RATE if is_deal else LEAD_RATE) * np.exp(0.4 * np.minimum(drive, 3.0))
    row, step = np.nonzero(often := rng.poisson(rate))
    again = often[row, step]
    row, step = np.repeat(row, again), np.repeat(step, again)
    shares = DEAL_SHARES if is_deal else LEAD_SHARES
    urgency = drive[row, step] + rng.normal(0.0, 0.5, len(row)) + is_deal
    return Effort(
        row=row,
        is_deal=np.full(len(row), is_deal),
        rep=rep[row],
        name=rng.choice(len(NAMES), len(row), p=shares),
        time=moments(rng, week[row] + step, OFFICE),
        urgency=urgency,
    )


def after_lot(
    rng: np.random.Generator, treated: np.ndarray, drawn: np.ndarray, rep: np.ndarray
) -> Effort:
    """Return the calls and e-mails that outreach consists of: always done, whatever else waits."""
    row = np.repeat(treated, OUTREACH_WISHES)
    wait = rng.uniform(0.05, 4.4, len(row)) * (WEEK / 7)
    return Effort(
        row=row,
        is_deal=np.zeros(len(row), dtype=bool),
        rep=rep[row],
        name=rng.integers(0, 2, len(row)),
        time=drawn[row] + wait.astype(np.int64),
        urgency=np.full(len(row), np.inf),
    )


def joined(parts: list[Effort]) -> Effort:
    """Return all parts as one."""
    names = vars(parts[0])
    return Effort(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def done(wished: Effort, capacity: int) -> Effort:
    """Return what is done: of each rep's week the `capacity` most urgent pieces."""
    order = np.lexsort((-wished.urgency, wished.time // WEEK, wished.rep))
    sorted_by = wished.where(order)
    week = sorted_by.time // WEEK
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (sorted_by.rep[1:] != sorted_by.rep[:-1]) | (week[1:] != week[:-1])
    place = np.arange(len(order))
    first = np.maximum.accumulate(np.where(begins, place, 0))
    return sorted_by.where(place - first < capacity)
