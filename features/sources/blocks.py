"""Text read piece by piece and used up to its last whole row, so that memory stays bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cluster.errors import WrongUse
from features.sources import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from features.sources.lot import Strip

BLOCK = 32 << 20  # bytes parsed at once, at most
MOST_BLOCK = 128 << 20  # what has no end of a row in so many bytes is no text of rows
BYTES_PER_ROW = 128  # a guess, where only a number of rows is asked for
FAR = 1 << 62


def used[T](pieces: Iterator[bytes], use: Callable[[bytes, bool], tuple[T, int]]) -> Iterator[T]:
    """Yield what `use(text, is_last)` makes of the whole rows in each piece; it says how many bytes
    those took, and the rest goes before the next piece.
    """
    rest = b""
    for piece in pieces:
        rest += piece
        found, size = use(rest, False)
        rest = rest[size:]
        if size:
            yield found
        elif len(rest) > MOST_BLOCK:
            raise WrongUse(
                f"a row must have at most {MOST_BLOCK >> 20} MB, got a longer one: is the file text"
                " with one row per line, and the 'quote' of its mapping right?"
            )
    if rest:
        yield use(rest, True)[0]


def pieces(
    folder: Path, strip: Strip, encoding: str, header_size: int, most: int = BLOCK
) -> Iterator[bytes]:
    """Yield the text of a strip below the header, at most so many bytes at once."""
    with files.opened(folder, strip.file, encoding) as stream:
        start = max(strip.start, header_size)
        if files.is_plain(strip.file, encoding):
            stream.seek(start)
        else:
            files.read(stream, start, strip.file)
        left = (strip.stop or FAR) - start
        while left > 0 and (piece := files.read(stream, min(most, left), strip.file)):
            left -= len(piece)
            yield piece


def is_utf8(text: bytes | pa.Buffer) -> bool:
    """Is all of it UTF-8? Asked of Arrow, at several gigabytes per second."""
    ends = pa.py_buffer(np.array([0, len(text)], np.int32))
    try:
        pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(text)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
