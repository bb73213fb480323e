"""Random numbers as a function: Philox4x32-10, counter in, uniform out.

A number is addressed by (seed, draw, deal, step, purpose) and by nothing else: not by the order of
calls, the chunk or the worker. The seed is the key; the counter words are the draw, the two halves
of the deal, and step * 2^16 + purpose. Source: Salmon, Moraes, Dror, Shaw, "Parallel random
numbers: as easy as 1, 2, 3" (SC 2011), with Random123's constants.
"""

from __future__ import annotations

import numpy as np
from numba import njit

MOST_STEPS = 2**16  # steps and purposes share one counter word
MOST_DRAWS = 2**32

_U = np.uint64
MULTIPLY_0, MULTIPLY_1 = _U(0xD2511F53), _U(0xCD9E8D57)
WEYL_0, WEYL_1 = _U(0x9E3779B9), _U(0xBB67AE85)
_LOW, _HALF, _DROP = _U(0xFFFFFFFF), _U(32), _U(12)
_ROUNDS = 10
_STEP = 2.0**-52


@njit(cache=True, nogil=True)
def uniform(seed: int, draw: int, deal: int | np.uint64, step: int, purpose: int) -> float:
    """Return the uniform number in (0, 1) at this address: 52 random bits, never 0, never 1."""
    key, unit = np.uint64(seed), np.uint64(deal)
    place = np.uint64(step * 65536 + purpose)
    counter = (np.uint64(draw) & _LOW, unit & _LOW, unit >> _HALF, place & _LOW)
    words = block(counter, (key & _LOW, key >> _HALF))
    return of_words(words[0], words[1])


@njit(cache=True, nogil=True, inline="always")
def of_words(high: int | np.unsignedinteger, low: int | np.unsignedinteger) -> float:
    """Return the uniform number in (0, 1) of two words: 52 random bits, never 0, never 1."""
    bits = ((np.uint64(high) << _HALF) | np.uint64(low)) >> _DROP
    return (np.float64(bits) + 0.5) * _STEP


@njit(cache=True, nogil=True)
def block(
    counter: tuple[np.uint64, np.uint64, np.uint64, np.uint64], key: tuple[np.uint64, np.uint64]
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return the four 32-bit words of one Philox block; every word is carried in a uint64."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        first, second = MULTIPLY_0 * c0, MULTIPLY_1 * c2
        c0, c2 = (second >> _HALF) ^ c1 ^ k0, (first >> _HALF) ^ c3 ^ k1
        c1, c3 = second & _LOW, first & _LOW
        k0, k1 = (k0 + WEYL_0) & _LOW, (k1 + WEYL_1) & _LOW
    return c0, c1, c2, c3


@njit(cache=True, nogil=True)
def common(seed: int, first_draw: int, draws: int, steps: int, purpose: int) -> np.ndarray:
    """Return float64 [draws, steps] of numbers that all deals of a draw share (deal 0)."""
    numbers = np.empty((draws, steps))
    for row in range(draws):
        for step in range(steps):
            numbers[row, step] = uniform(seed, first_draw + row, 0, step, purpose)
    return numbers
