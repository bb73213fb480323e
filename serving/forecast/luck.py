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

from serving.forecast.bare import BARE
from serving.forecast.philox import MULTIPLY_0, MULTIPLY_1, WEYL_0, WEYL_1

# purposes of random numbers, never renumbered; below 128 they are those of the older funnel
MOVES, AMOUNT, BEGINS = 128, 129, 130
LISTED, UNSUBSCRIBES, EFFECT = 256, 512, 768  # plus the number of the lever
ARRIVALS, FACTOR = 1024, 1280  # plus the number of the kind
LOST_EFFECT, RESPONSE = 1536, 1792  # plus the number of the lever, of the campaign
BESIDE = 2048  # plus the number of the kind
SHOCK = 4096  # of all; plus 1 and the number of the segment
MOST_LEVERS = MOST_KINDS = 256
MOST_SEGMENTS = 2**15

TOGETHER = 4  # steps that one block serves
OF_WORD = 2.0**-32

_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)

type _Counter = tuple[np.uint64, np.uint64, np.uint64, np.uint64]
type _Key = tuple[np.uint64, np.uint64]


class Chance(NamedTuple):
    """The address of a step's random numbers."""

    seed: int
    draw: int
    step: int


@njit(**BARE)
def fill(words: np.ndarray, names: np.ndarray, first: int, chance: Chance, purpose: int) -> None:
    """Write the words of the four steps around that of `chance` for names from `first`
    on.

    words is uint32 [4, units]; names is uint64 [units]. Ten rounds in a row, and no more than five
    arrays: so the compiler treats eight units at once (0.4 instead of 3.8 ns for a number).
    """
    seed = np.uint64(chance.seed)
    key = (seed & _LOW, seed >> _HALF)
    draw = np.uint64(chance.draw) & _LOW
    place = np.uint64(chance.step // TOGETHER * 65536 + purpose)
    one, two, three, four = words[0][first:], words[1][first:], words[2][first:], words[3][first:]
    fresh = names[first:]
    for i in range(fresh.size):
        answer = _block((draw, fresh[i] & _LOW, fresh[i] >> _HALF, place), key)
        one[i], two[i] = np.uint32(answer[0]), np.uint32(answer[1])
        three[i], four[i] = np.uint32(answer[2]), np.uint32(answer[3])


@njit(cache=True, nogil=True, inline="always")
def _block(c: _Counter, key: _Key) -> _Counter:
    """Return philox.block(c, key), without a loop."""
    c = _round(c, key, np.uint64(0))
    c = _round(c, key, np.uint64(1))
    c = _round(c, key, np.uint64(2))
    c = _round(c, key, np.uint64(3))
    c = _round(c, key, np.uint64(4))
    c = _round(c, key, np.uint64(5))
    c = _round(c, key, np.uint64(6))
    c = _round(c, key, np.uint64(7))
    c = _round(c, key, np.uint64(8))
    return _round(c, key, np.uint64(9))


@njit(cache=True, nogil=True, inline="always")
def _round(c: _Counter, key: _Key, number: np.uint64) -> _Counter:
    k0, k1 = (key[0] + number * WEYL_0) & _LOW, (key[1] + number * WEYL_1) & _LOW
    first, second = MULTIPLY_0 * c[0], MULTIPLY_1 * c[2]
    high, other = (second >> _HALF) ^ c[1] ^ k0, (first >> _HALF) ^ c[3] ^ k1
    return high, second & _LOW, other, first & _LOW
