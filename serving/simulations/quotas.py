"""How many simulations a planner may start, and how many may wait. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from serving.simulations.words import TooManySimulations

if TYPE_CHECKING:
    from cluster.settings import SimulationSettings

DAY = timedelta(days=1)
SOON_S = 10  # one that is under way may be over by then


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a planner has used of what is allowed, and all have."""

    started: tuple[datetime, ...]  # by the planner within a day, the oldest first
    own: int  # the planner's that are under way
    all: int  # of all that are


def refused(used: Used, allowed: SimulationSettings, now: datetime) -> TooManySimulations | None:
    """Return why one more is not started; None if it may be."""
    if used.own >= allowed.at_once:
        rule = f"a planner may have {allowed.at_once} simulations under way"
        return _refused(rule, f"{used.own}", "wait for one, or cancel it", SOON_S)
    if used.all >= allowed.queue:
        rule = f"{allowed.queue} simulations may be under way"
        return _refused(rule, f"{used.all}", "ask again soon", SOON_S)
    if len(used.started) >= allowed.per_day:
        rule = f"a planner may start {allowed.per_day} simulations within a day"
        again_s = _until_one_is_past(used.started, allowed.per_day, now)
        return _refused(rule, f"{len(used.started)}", "come back later", again_s)
    return None


def _until_one_is_past(started: tuple[datetime, ...], most: int, now: datetime) -> int:
    """Return the seconds until fewer than `most` were started within a day."""
    if not most:
        return round(DAY.total_seconds())
    left = started[len(started) - most] + DAY - now
    return max(1, math.ceil(left.total_seconds()))


def _refused(rule: str, value: str, remedy: str, again_s: int) -> TooManySimulations:
    return TooManySimulations(rule=rule, value=value, remedy=remedy, again_s=again_s)
