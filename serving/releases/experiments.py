"""Experiments: what is read of the business outcome of two arms at any time, and how long that is
likely to take. Pure.

Each account whose outcome came says by its arm how the rates of the outcome compare. The reading
may be taken at any time; who stops when it speaks is wrong with a chance of at most alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import ceil, log
from typing import TYPE_CHECKING

import numpy as np

from serving.releases import odds
from serving.releases.wealth import Wealth

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.random import Generator

    from serving.releases.evidence import Evidence
    from serving.releases.plan import Experiment
    from serving.releases.release import Release

RUNS = 200  # simulated to estimate power
LONGEST = 20_000  # outcomes of a simulated run


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The rate of the outcome in the candidate, over that of what answers."""

    ratio: float  # the likeliest
    low: float  # the true one is between low and high, whenever one reads, but for alpha
    high: float
    outcomes: int  # that it rests on
    is_decided: bool


@dataclass(frozen=True, kw_only=True)
class Duration:
    """What an experiment is expected to take."""

    outcomes: int  # after which a ratio that is worth finding is found with the power asked for
    accounts: int
    days: float  # until so many accounts have come, and the last one's horizon is over
    power: float  # of those that fit into the days it may last


def reading(plan: Experiment, seen: Evidence) -> Reading:
    """Return what outcomes say by now."""
    ratio, low, high = odds.interval(seen.ratio.logs, plan.alpha)
    return Reading(
        ratio=ratio,
        low=low,
        high=high,
        outcomes=seen.ratio.events,
        is_decided=seen.ratio.exceeds(plan.alpha),
    )


def read(release: Release, plan: Experiment, seen: Evidence, now: datetime) -> tuple[str, str]:
    """Return what an experiment's last step asks for, and why."""
    found = reading(plan, seen)
    said = (
        f"the rate of the outcome is {found.ratio:.2f} times that of what answers"
        f" ({found.low:.2f} to {found.high:.2f}, {found.outcomes:,} outcomes)"
    )
    if found.is_decided and found.ratio > 1:
        return "advance", said
    if found.is_decided:
        return "hold", said
    if now - release.since >= timedelta(days=plan.most_days):
        return "hold", f"not enough evidence in {plan.most_days:g} days: {said}"
    return "wait", f"not enough evidence yet: {said}"


def duration(
    plan: Experiment,
    *,
    share: float,
    rate: float,
    accounts_per_day: float,
    horizon_days: float,
    rng: Generator,
) -> Duration:
    """Return what an experiment with a share of the accounts takes, where the outcome comes to so
    many of them and so many new ones are decided about a day.
    """
    taken = np.sort([_taken(plan, share, rng) for _ in range(RUNS)])
    outcomes = int(taken[min(ceil(plan.power * RUNS), RUNS) - 1])
    lifted = min(plan.ratio * rate, 1.0)
    mean = share * lifted + (1 - share) * rate
    accounts = ceil(outcomes / mean)
    fits = (plan.most_days - horizon_days) * accounts_per_day * mean
    return Duration(
        outcomes=outcomes,
        accounts=accounts,
        days=accounts / accounts_per_day + horizon_days,
        power=float(np.mean(taken <= fits)),
    )


def _taken(plan: Experiment, share: float, rng: Generator) -> int:
    """Return after how many outcomes one run speaks, where the ratio is that worth finding."""
    chance = share * plan.ratio / (share * plan.ratio + 1 - share)
    held, count, step = Wealth.of(len(odds.RATIOS)), 0, 250
    while count < LONGEST:
        flags = rng.random(step) < chance
        held, curve = held.after(odds.gains(flags, np.full(step, share), odds.RATIOS))
        spoke = np.flatnonzero(curve >= log(1 / plan.alpha))
        if len(spoke):
            return count + int(spoke[0]) + 1
        count += step
    return LONGEST
