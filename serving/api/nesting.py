"""How deep and how large a JSON text is, by its bytes alone and before anything is built from it.

A parser holds the interpreter while it works, and builds what is a hundred times larger than two
letters; this looks at blocks of bytes with the interpreter free. Texts that are no JSON are counted
as far as they can be: the parser refuses them later. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BLOCK = 2**18  # bytes looked at together
_QUOTE, _COMMA = ord('"'), ord(",")
_STEP = np.zeros(256, np.int8)  # what a byte does to the depth
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1


class Nesting(NamedTuple):
    """Of a JSON text."""

    depth: int  # brackets within brackets
    values: int  # at most so many: brackets and commas outside of texts, and one


def nesting(data: bytes) -> Nesting:
    """Return how deep and how large a JSON text is."""
    if b"\\" in data:  # a quote behind an odd number of them ends no text
        data = data.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    return _scanned(data)


def small(data: bytes, depth: int, values: int) -> bool:
    """Is it surely no deeper and no larger than this? The cheap answer for what is short."""
    opened = data.count(b"[") + data.count(b"{")
    return opened <= depth and opened + data.count(b",") < values


def _scanned(data: bytes) -> Nesting:
    depth = deepest = values = 0
    is_text = np.uint8(0)
    every = np.frombuffer(data, np.uint8)
    for start in range(0, len(every), BLOCK):
        block = every[start : start + BLOCK]
        inside = np.bitwise_xor.accumulate(block == _QUOTE) ^ bool(is_text)
        is_text = np.uint8(inside[-1])
        outside = ~inside
        step = np.where(outside, _STEP[block], 0)
        level = np.cumsum(step, dtype=np.int32) + depth
        depth, deepest = int(level[-1]), max(deepest, int(level.max()))
        values += int(np.count_nonzero((step > 0) | ((block == _COMMA) & outside)))
    return Nesting(deepest, values + 1)
