"""Whether a candidate predicts worse, or better, than what answers: both have scored the same
leads, and of each it is known by now what became of it.

A bet on each pair: its stake is fixed before the outcome, and it pays the difference of the two log
losses. While the candidate is no worse on average, a bet that it is gains nothing on average
(Choe and Ramdas, "Comparing sequential forecasters", 2021; stakes as in Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting", 2024). Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from serving.releases.wealth import Floats

    type Flags = NDArray[np.bool_]

FARTHEST = 3.0  # apart in log-odds that two scores of a lead count: no bet can lose its whole stake
LEAST = 1e-6  # chance that counts
STAKES = np.geomspace(0.02, 0.95, 16) / FARTHEST


def differences(stable: Floats, candidate: Floats, outcomes: Flags) -> Floats:
    """Return by how much the log loss of the candidate is above that of the stable one, in nats.

    A candidate's score counts as at most `FARTHEST` in log-odds from the stable one, which bounds
    the difference by as much.
    """
    base = _logit(stable)
    other = np.clip(_logit(candidate), base - FARTHEST, base + FARTHEST)
    sign = np.where(outcomes, -1.0, 1.0)
    return np.asarray(np.logaddexp(0.0, sign * other) - np.logaddexp(0.0, sign * base))


def gains(differences: Floats, *, margin: float = 0.0) -> Floats:
    """Return what bets gain that the candidate is worse by more than `margin` nats on average, as
    logarithms: a row per pair, a column per stake. Of negated differences: that it is better.
    """
    return np.asarray(np.log1p(STAKES * (differences[:, None] - margin) / (1 + abs(margin))))


def _logit(chances: Floats) -> Floats:
    bounded = np.clip(chances, LEAST, 1 - LEAST)
    return np.asarray(np.log(bounded / (1 - bounded)))
