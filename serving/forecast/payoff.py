"""Does a scenario pay? The difference to another one, draw by draw on the same luck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.forecast.costs import Costs, spent
from serving.forecast.timing import Timing, timing

if TYPE_CHECKING:
    from serving.forecast.given import Outcome


class Range(NamedTuple):
    """A number that chance spreads."""

    mean: float
    low: float  # the 5 % quantile, a value that occurred
    high: float  # the 95 % quantile


class Way(NamedTuple):
    """What came of an arm, and what it costs."""

    outcome: Outcome
    costs: Costs


@dataclass(frozen=True, kw_only=True)
class Payoff:
    """Over the whole horizon, against another arm."""

    won: Range  # extra units
    value_cents: Range  # extra value of units won
    cost_cents: Range  # extra cost of contacts, reps and campaigns
    gain_cents: Range  # extra value less extra cost
    contacts: float  # mean number, extra
    unsubscribed: float  # mean number, extra
    pays: float  # share of draws whose extra value exceeds the extra cost
    loses: float  # share of draws in which it falls short of it
    steps_to_value: int | None  # the first step (1, 2, ...) by whose end the mean gain is above 0
    timing: Timing


def payoff(other: Way, arm: Way) -> Payoff:
    """Compare an arm with another one."""
    value, cost = by_step(other, arm)
    gain = (value - cost).cumsum(axis=1)
    ahead = np.flatnonzero(gain.mean(axis=0) > 0.0)
    contacts, unsubscribed = (
        _mean(getattr(arm.outcome, name)) - _mean(getattr(other.outcome, name))
        for name in ("contacts", "lost_to")
    )
    return Payoff(
        won=spread(_total(arm.outcome.won) - _total(other.outcome.won)),
        value_cents=spread(value.sum(axis=1)),
        cost_cents=spread(cost.sum(axis=1)),
        gain_cents=spread(gain[:, -1]),
        contacts=contacts,
        unsubscribed=unsubscribed,
        pays=float((gain[:, -1] > 0).mean()),
        loses=float((gain[:, -1] < 0).mean()),
        steps_to_value=int(ahead[0]) + 1 if ahead.size else None,
        timing=timing(arm.outcome.timing),
    )


def by_step(other: Way, arm: Way) -> tuple[np.ndarray, np.ndarray]:
    """Return extra value and extra cost in each step: int64 [draws, steps], cents."""
    value = arm.outcome.cents.sum(axis=(2, 3)) - other.outcome.cents.sum(axis=(2, 3))
    return value, spent(*arm) - spent(*other)


def spread(values: np.ndarray) -> Range:
    """Return mean, 5 % and 95 % quantile of whole numbers, [draws]."""
    return spreads(values[None])[0]


def spreads(several: np.ndarray) -> list[Range]:
    """Return those of each row of whole numbers, [rows, draws]: far quicker than row by row."""
    low, high = np.quantile(several, (0.05, 0.95), axis=1, method="inverted_cdf")
    mean = np.ascontiguousarray(several).mean(axis=1)
    rows = zip(mean, low, high, strict=True)
    return [Range(float(each), int(least), int(most)) for each, least, most in rows]


def _total(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts.sum(axis=(1, 2, 3)))


def _mean(counts: np.ndarray) -> float:
    """Return the mean over draws of all that was counted in one."""
    return float(counts.sum() / counts.shape[0])
