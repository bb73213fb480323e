"""The luck of units: which numbers the kernel asks for, and those of four steps at once.

What a unit asks for in every step (where it moves, whether it is listed) takes one Philox block for
four steps: the block at step div 4, of it the word at step mod 4. So the number is still that of
its address (seed, draw, unit, step, purpose), at a quarter of the cost. A word has 32 bits: chances
are kept to 2.3e-10, and a unit that moves once in a thousand steps does so to one part in four
million. All other numbers have 52 bits (philox.uniform).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from serving.forecast.philox import block

# purposes of random numbers, never renumbered; below 128 they are those of the older funnel
MOVES, AMOUNT, BEGINS, KIND = 128, 129, 130, 131
LISTED, UNSUBSCRIBES, EFFECT = 256, 512, 768  # plus the number of the lever
ARRIVALS, FACTOR = 1024, 1280  # plus the number of the kind
SHOCK = 4096  # of all; plus 1 and the number of the segment
MOST_LEVERS = MOST_KINDS = 256
MOST_SEGMENTS = 2**15

TOGETHER = 4  # steps that one block serves
OF_WORD = 2.0**-32

_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


class Chance(NamedTuple):
    """The address of a step's random numbers."""

    seed: int
    draw: int
    step: int


@njit(cache=True, nogil=True)
def fill(words: np.ndarray, names: np.ndarray, first: int, chance: Chance, purpose: int) -> None:
    """Write the words of the four steps around that of `chance` for names from `first` on.

    words is uint32 [4, units]; names is uint64 [units].
    """
    key = np.uint64(chance.seed)
    k0, k1 = key & _LOW, key >> _HALF
    draw = np.uint64(chance.draw) & _LOW
    place = np.uint64(chance.step // TOGETHER * 65536 + purpose)
    one, two, three, four = words[0], words[1], words[2], words[3]
    for i in range(first, names.size):
        unit = names[i]
        answer = block((draw, unit & _LOW, unit >> _HALF, place), (k0, k1))
        one[i] = np.uint32(answer[0])
        two[i] = np.uint32(answer[1])
        three[i] = np.uint32(answer[2])
        four[i] = np.uint32(answer[3])
