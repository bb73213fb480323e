"""Texts that are looked at a few at a time: held in blocks, each compressed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BLOCK = 64  # texts: fewer compress worse, more are uncompressed in vain
_CODEC = pa.Codec("zstd", 1)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Texts by their place. Safe to share between threads."""

    blocks: tuple[bytes, ...]
    sizes: tuple[int, ...]  # of the blocks when they are not compressed
    offsets: np.ndarray  # (n + 1,) int64, in bytes, over all blocks

    @classmethod
    def of(cls, parts: Iterable[pa.ChunkedArray]) -> Self:
        """Hold the texts of some parts, one after the other; one part is looked at at a time."""
        blocks: list[bytes] = []
        sizes: list[int] = []
        lengths: list[int] = []
        for part in parts:
            spelled = [text.encode() for text in part.to_pylist()]
            lengths += map(len, spelled)
            for start in range(0, len(spelled), BLOCK):
                whole = b"".join(spelled[start : start + BLOCK])
                sizes.append(len(whole))
                blocks.append(_CODEC.compress(whole, asbytes=True))
        return cls(blocks=tuple(blocks), sizes=tuple(sizes), offsets=_offsets(lengths))

    def take(self, places: Sequence[int]) -> list[str]:
        """Return the texts of some places, in their order."""
        starts = _offsets(self.sizes)
        opened: dict[int, bytes] = {}
        return [self._text(place, starts, opened) for place in places]

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return sum(map(len, self.blocks)) + self.offsets.nbytes

    def _text(self, place: int, starts: np.ndarray, opened: dict[int, bytes]) -> str:
        first, end = self.offsets[place : place + 2].tolist()
        if first == end:
            return ""
        number = int(np.searchsorted(starts, first, side="right")) - 1
        if number not in opened:
            opened[number] = _CODEC.decompress(
                self.blocks[number], self.sizes[number], asbytes=True
            )
        start = int(starts[number])
        return opened[number][first - start : end - start].decode()


def _offsets(lengths: Sequence[int]) -> np.ndarray:
    found: np.ndarray = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    return found
