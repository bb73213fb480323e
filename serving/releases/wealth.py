"""Evidence that may be looked at at any time: the wealth of a gambler who bets against a claim.

While the claim holds, no bet gains on average, so that the chance that the wealth ever reaches
1/alpha is at most alpha, however often anybody looks (Ville 1939; Ramdas, Gruenwald, Vovk and
Shafer, "Game-theoretic statistics and safe anytime-valid inference", 2023). One unit is spread
evenly over several bets, as nobody knows beforehand which is the good one. Sums go in the order of
the events, so that cutting them otherwise changes no bit. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Wealth:
    """What is left of a unit, after some events."""

    logs: tuple[float, ...]  # of each bet: natural logarithm of what its share was multiplied by
    events: int = 0
    highest: float = 0.0  # the most that the logarithm of the whole ever was

    @classmethod
    def of(cls, bets: int) -> Self:
        """Return a unit that is spread over so many bets."""
        return cls(logs=(0.0,) * bets)

    @property
    def log(self) -> float:
        """Natural logarithm of the whole."""
        return float(_whole(np.array([self.logs]))[0])

    def exceeds(self, alpha: float) -> bool:
        """Was it ever as much as speaks against the claim at this chance of a false alarm?"""
        return self.highest >= log(1 / alpha)

    def after(self, gains: Floats) -> tuple[Self, Floats]:
        """Return the wealth after more events, and the logarithm of the whole after each.

        `gains` has a row per event, in their order, and a column per bet: logarithms of what the
        bet is multiplied by.
        """
        if not len(gains):
            return self, np.zeros(0)
        logs = np.cumsum(np.vstack([np.array([self.logs]), gains]), axis=0)[1:]
        curve = _whole(logs)
        after = type(self)(
            logs=tuple(logs[-1].tolist()),
            events=self.events + len(gains),
            highest=max(self.highest, float(curve.max())),
        )
        return after, curve


def _whole(logs: Floats) -> Floats:
    """Return the logarithm of the mean of each row, of which only logarithms are known."""
    top = logs.max(axis=1)
    return np.asarray(top + np.log(np.mean(np.exp(logs - top[:, None]), axis=1)))
