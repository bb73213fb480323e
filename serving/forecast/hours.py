"""What more hours of a desk would bring: the same luck once more, with a tenth more of them.

What an hour brings falls with the hours there are. So the price is that of the hours which come
next, found by simulating them, and none that is scaled from a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.forecast import payoff

if TYPE_CHECKING:
    from serving.forecast.desks import Desks
    from serving.forecast.payoff import Way

SHARE = 10  # a tenth more, and one contact at least in each step that has any
MINUTES = 60


class PerHour(NamedTuple):
    """A number for an hour, that chance spreads: mean, 5 % and 95 % quantile."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class HourPrice:
    """Over the whole horizon, for each hour that the desk has more."""

    desk: str
    value_cents: PerHour  # less what it costs
    won: PerHour
    more_hours: float


def longer(desks: Desks, place: int) -> Desks:
    """Return the desks, one of them with a tenth more contacts."""
    capacity = desks.capacity.copy()
    capacity[place] += _more(desks, place)
    return desks._replace(capacity=capacity)


def price(
    desk: str, place: int, desks: Desks, arms: tuple[Way, Way], minutes: np.ndarray
) -> HourPrice:
    """Return the price of the hours that the second arm has more at a desk; minutes, float64
    [levers], are those of a contact.
    """
    before, after = arms
    made = before.outcome.contacts[:, :, place].sum(axis=(0, 1)) * (minutes > 0.0)
    by_reps = made if made.any() else (minutes > 0.0).astype(float)
    each = float(np.average(minutes, weights=by_reps)) if by_reps.any() else 0.0
    hours = float(_more(desks, place).sum()) * each / MINUTES
    value, cost = payoff.by_step(before, after)
    won = (after.outcome.won - before.outcome.won).sum(axis=(1, 2, 3))
    return HourPrice(
        desk=desk,
        value_cents=_per_hour((value - cost).sum(axis=1), hours),
        won=_per_hour(won, hours),
        more_hours=hours,
    )


def _more(desks: Desks, place: int) -> np.ndarray:
    there = desks.capacity[place]
    return np.where(there > 0, np.maximum(1, there // SHARE), 0)


def _per_hour(values: np.ndarray, hours: float) -> PerHour:
    return PerHour(*(each / hours if hours else 0.0 for each in payoff.spread(values)))
