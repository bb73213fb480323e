"""Appointments: meetings are scheduled ahead; some are cancelled, and to some nobody comes.

The less interested the buyer, the likelier a meeting fails; it costs the rep its time all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.sources.world.chance import DAY, HOUR, sigmoid
from features.sources.world.effort import NAMES, Effort

MEETING = NAMES.index("meeting")
AHEAD_DAYS = 4.0  # mean time from the invitation to the meeting
FAILS, SLOPE = -1.9, -0.5  # log-odds that a meeting fails, at drive 0 and over drive
CANCELLED_SHARE = 0.65  # of those that fail; the rest are no-shows


@dataclass(frozen=True, kw_only=True)
class Appointments:
    """Meetings in a calendar; arrays of one entry per meeting."""

    work: Effort  # the meetings, with the times for which they were fixed
    scheduled: np.ndarray  # microseconds
    cancelled: np.ndarray  # microseconds; meaningful only where it is cancelled
    is_held: np.ndarray
    is_cancelled: np.ndarray

    def where(self, keep: np.ndarray) -> Appointments:
        """Return the appointments with a true entry in `keep`."""
        others = {name: values[keep] for name, values in vars(self).items() if name != "work"}
        return Appointments(work=self.work.where(keep), **others)


def appointments(
    rng: np.random.Generator, done: Effort, since: np.ndarray, drive: np.ndarray
) -> tuple[Appointments, Effort]:
    """Draw the calendar; `since` (microseconds) and `drive` belong to the lead or deal of the work.

    Returns the appointments, and the work without the meetings that failed.
    """
    is_meeting = done.name == MEETING
    place = np.flatnonzero(is_meeting)
    work, count = done.where(place), len(place)
    fails = rng.random(count) < sigmoid(FAILS + SLOPE * drive[place])
    is_cancelled = fails & (rng.random(count) < CANCELLED_SHARE)
    ahead = (HOUR + rng.exponential(AHEAD_DAYS * DAY, count)).astype(np.int64)
    # nobody is invited before we know them
    scheduled = np.maximum(work.time - ahead, (work.time + since[place]) // 2)
    cancelled = scheduled + ((work.time - scheduled) * rng.uniform(0.3, 0.99, count)).astype(
        np.int64
    )
    kept = np.ones(len(done.row), dtype=bool)
    kept[place[fails]] = False
    return Appointments(
        work=work,
        scheduled=scheduled,
        cancelled=cancelled,
        is_held=~fails,
        is_cancelled=is_cancelled,
    ), done.where(kept)
