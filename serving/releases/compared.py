"""What became of the accounts of a flag: each variant beside the usual one, read at any time. Pure.

Accounts count in the order of their exposures, and each only when its horizon is over: all horizons
are as long, so what comes later is added behind, whatever the outcomes are. Counted as outcomes
come, a variant whose outcomes come sooner, and no oftener, would look better. Of two variants an
account draws one by lot, so each account whose outcome came says which of them has it more often
(`serving.releases.odds`): how many times the rate is that of the usual one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import batched
from math import ceil
from typing import TYPE_CHECKING

from cluster.errors import Refusal
from serving.releases import experiments
from serving.releases.evidence import Evidence
from serving.releases.sighting import Matured

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, timedelta

    from serving.releases.experiments import Reading
    from serving.releases.flags import Compared, Flag

POINTS = 200  # of a course, at most
MORE, LESS, OPEN = "more often than usual", "less often than usual", "not enough evidence"


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """An account that was told its variant, and what became of it."""

    account: str
    variant: str
    at: datetime
    outcome: bool | None = None  # None: nothing is known, as nothing of it was open then


@dataclass(frozen=True, kw_only=True)
class Count:
    """Accounts of one variant."""

    exposed: int
    matured: int  # of those, whose horizon is over
    unknown: int  # of the matured, of whom nothing is known: they count for nothing
    outcomes: int

    @property
    def rate(self) -> float | None:
        """The share of those that count to which the outcome came; None while there are none."""
        counted = self.matured - self.unknown
        return self.outcomes / counted if counted else None


@dataclass(frozen=True, kw_only=True)
class Point:
    """A reading, after some accounts of the two variants."""

    accounts: int
    reading: Reading


def asked_of_each(flag: Flag) -> Compared | Refusal:
    """Return what is asked of one comparison. Alpha is split evenly among all, so that any of them
    is wrong with a chance of at most alpha (Bonferroni 1936); a Refusal for a flag that compares
    nothing.
    """
    if flag.experiment is None:
        return Refusal(
            rule="a flag must have an experiment to be compared",
            value=f"'{flag.name}' without",
            remedy="name target and usual variant in its file",
        )
    return flag.experiment.model_copy(update={"alpha": flag.experiment.alpha / len(flag.compared)})


def matured(told: Iterable[Told], horizon: timedelta, until: datetime) -> list[Told]:
    """Return those whose horizon is over at a moment, in the order of their exposures."""
    over = (each for each in told if each.at + horizon <= until)
    return sorted(over, key=lambda each: (each.at, each.account))


def counts(flag: Flag, told: Sequence[Told], over: Sequence[Told]) -> dict[str, Count]:
    """Return the accounts of each variant: of all that were told, and of those that matured."""
    return {
        name: Count(
            exposed=sum(each.variant == name for each in told),
            matured=sum(each.variant == name for each in over),
            unknown=sum(each.variant == name and each.outcome is None for each in over),
            outcomes=sum(each.variant == name and each.outcome is True for each in over),
        )
        for name in flag.shares
    }


def courses(flag: Flag, asked: Compared, over: Sequence[Told]) -> dict[str, tuple[Point, ...]]:
    """Return the readings of each variant that is compared with the usual one, on the way and the
    last: none while no outcome came. `asked`: of each; `over`: who matured, in their order.
    """
    return {
        name: tuple(_course(asked, _pair(name, asked.usual, share, over)))
        for name, share in flag.compared.items()
    }


def _pair(name: str, usual: str, share: float, over: Iterable[Told]) -> list[Matured]:
    """Return the accounts of a variant and of the usual one of which something is known."""
    return [
        Matured(
            account=each.account,
            is_candidate=each.variant == name,
            share=share,
            outcome=each.outcome,
        )
        for each in over
        if each.variant in (name, usual) and each.outcome is not None
    ]


def _course(asked: Compared, pair: Sequence[Matured]) -> Iterator[Point]:
    seen, accounts = Evidence(), 0
    for some in batched(pair, max(ceil(len(pair) / POINTS), 1)):
        seen.matured(some)
        accounts += len(some)
        if seen.ratio.events:
            yield Point(accounts=accounts, reading=experiments.reading(asked, seen))


def said(reading: Reading) -> str:
    """Return what a comparison says, in words."""
    if not reading.is_decided:
        return OPEN
    return MORE if reading.ratio > 1 else LESS
