"""Exploration: a small share of the accounts gets a route by lot, so that it is seen what becomes
of those whom a policy never sends there.

Whom, and where to, is a pure function of a salt, the policy's name, a period and the account: the
same in every process, in batches and in replays, and drawn anew each period. With it goes the
propensity: the chance with which the account would have got the route that it got. An estimate that
weighs each example by 1 / propensity is as if all routes had been drawn alike (Horvitz and
Thompson, "A generalization of sampling without replacement", 1952). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cluster.settings import Frozen
from serving.releases import assignment

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    type Floats = NDArray[np.float64]

LEAST, MOST = 0.01, 0.05  # share of the accounts: less teaches nothing, more costs too much
HEAVIEST = 10.0  # weight of an example: see `weights`
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


class Explore(Frozen):
    """Which share of the accounts gets one of some routes by lot."""

    share: float = Field(ge=LEAST, le=MOST)
    routes: tuple[str, ...] = Field(min_length=2)  # none takes or gives an account but these
    period: Literal["month", "quarter", "year"] = "quarter"  # how long a draw holds
    salt: str = Field(default="", pattern=r"^[a-z0-9_-]{0,64}$")

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        if abs(self.share * assignment.PLACES - self.places) > 1e-6:
            raise ValueError(f"a share must be whole ten thousandths, got {self.share}")
        if len(set(self.routes)) != len(self.routes):
            raise ValueError("routes to explore must be named once")
        return self

    @property
    def places(self) -> int:
        """How many of ten thousand places are explored."""
        return round(self.share * assignment.PLACES)


@dataclass(frozen=True, kw_only=True)
class Explored:
    """What was drawn for one decision, as its record says it."""

    explored: bool  # was the route drawn by lot?
    propensity: float  # chance with which this account would have got the route that it got
    own: str  # the route that the policy itself gives


@dataclass(frozen=True, kw_only=True)
class Lot:
    """How the accounts of one policy draw."""

    policy: str  # its name: another version of it explores the same accounts
    explore: Explore

    def drawn(self, unit: str, at: datetime, own: str) -> tuple[str, Explored, str]:
        """Return the route of an account that the policy itself would give `own`, one of those to
        explore; what was drawn; and that in words.
        """
        explore, period = self.explore, period_of(self.explore.period, at)
        name = f"explore/{self.policy}/{period}"
        place = assignment.place(explore.salt, name, unit)
        is_in = assignment.is_within(place, explore.places)
        looked = f"exploration {period}: place {place} < {explore.places}: {is_in}"
        if not is_in:
            return own, self._said(own, own, explored=False), looked
        which = assignment.one_of(explore.salt, f"{name}/route", unit, len(explore.routes))
        route = explore.routes[which]
        among = f"{route}: by lot among {', '.join(explore.routes)}"
        return route, self._said(route, own, explored=True), f"{looked}; {among}"

    def _said(self, route: str, own: str, *, explored: bool) -> Explored:
        chance = propensity(self.explore, is_own=route == own)
        return Explored(explored=explored, propensity=chance, own=own)


def propensity(explore: Explore, *, is_own: bool) -> float:
    """Return the chance of a route that is explored: `is_own` if the policy itself gives it.

    >>> explore = Explore(share=0.02, routes=("call", "mail"))
    >>> propensity(explore, is_own=True), propensity(explore, is_own=False)
    (0.99, 0.01)
    """
    share = explore.places / assignment.PLACES
    by_lot = share / len(explore.routes)
    return by_lot + 1 - share if is_own else by_lot


def untouched(own: str) -> Explored:
    """Return what is said of a decision about which nothing is drawn."""
    return Explored(explored=False, propensity=1.0, own=own)


def period_of(period: str, at: datetime) -> str:
    """Return the name of the month, quarter or year of a time, in UTC.

    >>> from datetime import datetime
    >>> at = datetime(2026, 5, 31, tzinfo=UTC)
    >>> [period_of(each, at) for each in ("month", "quarter", "year")]
    ['2026-month-5', '2026-quarter-2', '2026-year-1']
    """
    there = at.astimezone(UTC)
    return f"{there.year}-{period}-{(there.month - 1) // _MONTHS[period] + 1}"


def weights(propensities: Floats, heaviest: float = HEAVIEST) -> Floats:
    """Return the weight of each example (n,): 1 / propensity, 1 where none is known (NaN).

    None is above `heaviest`: what few examples say then counts for a little less than it should,
    and the estimate varies far less.
    """
    known = np.where(np.isnan(propensities), 1.0, propensities)
    if not ((known > 0) & (known <= 1)).all():
        raise ValueError("a propensity must lie above 0 and be 1 at most")
    return np.minimum(1 / known, heaviest)
