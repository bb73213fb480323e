"""What became of the units open at the start in two arms on the same luck.

A unit is followed by its place in the start; what arrives later has no part in this.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Timing(NamedTuple):
    """Means over draws, of units open at the start."""

    earlier: float  # won in both arms, in an earlier step here
    later: float  # won in both arms, in a later step here
    more: float  # won here alone
    displaced: float  # won there alone
    steps_gained: float  # mean over those won in both, 0 where none is


def counts(there: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Return int64 [draws, 6]: how many units are won earlier, later, here alone, there alone, how
    many steps earlier those won in both are together, and how many these are.

    Both are uint16 [draws, units], 1 + the step of winning, 0 for never.
    """
    both = (there > 0) & (here > 0)
    gained = np.where(both, there.astype(np.int64) - here.astype(np.int64), 0)
    several = (gained > 0, gained < 0, (here > 0) & (there == 0), (there > 0) & (here == 0))
    summed = [each.sum(axis=1) for each in (*several, gained, both)]
    return np.stack(summed, axis=1).astype(np.int64)


def timing(counted: np.ndarray) -> Timing:
    """Return the means of what `counts` returns."""
    earlier, later, more, displaced, gained, both = counted.sum(axis=0).tolist()
    draws = len(counted)
    steps = gained / both if both else 0.0
    return Timing(earlier / draws, later / draws, more / draws, displaced / draws, steps)
