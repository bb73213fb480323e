"""How much load a service bears: the highest offered rate at which 99 % are answered in 100 ms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.bench import load

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE = 0.99
CLOSE = 1.03  # between a rate that it bears and one that it does not
LOWER = 0.95  # of a rate that was not borne again is the next to be tried
AGAIN = 4  # runs until a rate is not borne: any of them may have met other work on the machine

type Measure = Callable[[float], load.Result]
type Send = Callable[[load.Plan], load.Result]


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What was found."""

    rate: float  # requests per second; 0: not even the lowest
    result: load.Result  # of the run that confirmed it
    tried: tuple[tuple[float, float], ...]  # (rate, share answered in time), in order

    @property
    def steps(self) -> str:
        """The search in one line."""
        return " ".join(f"{rate:.0f}:{share:.3f}" for rate, share in self.tried)


def of(plan: load.Plan, send: Send, *, lowest: float) -> Capacity:
    """Search with runs like `plan` from `lowest` upwards; the confirming one is twice as long."""
    searched = replace(plan, give_up=1 - SHARE)
    confirmed = replace(searched, seconds=2 * plan.seconds)
    return search(
        lambda rate: send(replace(searched, rate=rate)),
        lambda rate: send(replace(confirmed, rate=rate)),
        lowest,
    )


def search(measure: Measure, confirm: Measure, lowest: float) -> Capacity:
    """Double from `lowest` to the first rate that is not borne, bisect, and run what was found once
    more; a rate that is not borne again is lowered.
    """
    tried: list[tuple[float, float]] = []

    def borne(rate: float, how: Measure) -> load.Result | None:
        for _ in range(AGAIN):
            result = how(rate)
            tried.append((rate, result.share))
            if result.share >= SHARE:  # also of a void run: its lateness only counts against it
                return result
        return None

    low, high = 0.0, lowest
    while borne(high, measure):
        low, high = high, 2 * high
    low = low or lowest / 8
    while high / low > CLOSE:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if borne(middle, measure) else (low, middle)
    while low > lowest / 8:
        if result := borne(low, confirm):
            return Capacity(rate=low, result=result, tried=tuple(tried))
        low *= LOWER
    return Capacity(rate=0.0, result=confirm(low), tried=tuple(tried))
