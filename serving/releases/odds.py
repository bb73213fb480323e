"""Whether something happens in one arm more often than in the other, by asking of each event from
which arm it came.

Who is in which arm was drawn by lot. So while an event is as likely in either, it comes from the
candidate with the chance that the lot had: its weight, whatever the load, the hour or the rate of
such events, which may all change. With each account counted once, events are independent; counted
as often as they happen, one account that fails often would speak for many (Lindon and Malek,
"Anytime-valid inference for multinomial count data", 2022). Pure.
"""

from __future__ import annotations

from math import ceil, inf, log
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from serving.releases.wealth import Floats

    type Flags = NDArray[np.bool_]

BETS = 60
HIGHER = np.geomspace(1.15, 100.0, BETS)  # it happens so many times as often in the candidate
LOWER = 1 / HIGHER[::-1]
_MORE = np.geomspace(1.05, 2.0, 12)
EITHER = np.concatenate([1 / _MORE[::-1], _MORE])
RATIOS = np.geomspace(0.25, 4.0, 97)  # that an experiment tells apart


def gains(is_candidate: Flags, shares: Floats, ratios: Floats) -> Floats:
    """Return what bets on each ratio of rates gain, as logarithms: a row per event.

    `shares`: the chance with which the lot put the account of each event into the candidate, above
    0 and below 1.
    """
    share = shares[:, None]
    believed = share * ratios / (share * ratios + 1 - share)
    from_candidate, from_stable = np.log(believed / share), np.log((1 - believed) / (1 - share))
    return np.where(is_candidate[:, None], from_candidate, from_stable)


def needed(share: float, ratio: float, alpha: float) -> float:
    """Return after how many events a bet on the right ratio is expected to speak at `alpha`.

    >>> needed(0.5, 2.0, 0.05), needed(0.5, 1.1, 0.05)
    (53, 2642)
    """
    believed = share * ratio / (share * ratio + 1 - share)
    if believed in (share, 0.0, 1.0):
        return inf
    pace = believed * log(believed / share) + (1 - believed) * log((1 - believed) / (1 - share))
    return ceil(log(1 / alpha) / pace)


def interval(logs: Sequence[float], alpha: float) -> tuple[float, float, float]:
    """Return the likeliest of RATIOS, and the least and greatest that are not denied: the true one
    is ever outside with a chance of at most alpha.

    `logs`: what bets on RATIOS have gained. Against a ratio speaks what the mean of all has gained
    over the bet on it (Wasserman, Ramdas and Balakrishnan, "Universal inference", 2020).
    """
    gained = np.array(logs)
    whole = gained.max() + log(np.mean(np.exp(gained - gained.max())))
    kept = RATIOS[whole - gained < log(1 / alpha)]
    return float(RATIOS[gained.argmax()]), float(kept.min()), float(kept.max())
