"""UBJSON as XGBoost writes it, read within bounds: no length is believed before its bytes come.

Universal Binary JSON (ubjson.org, draft 12), of which XGBoost uses objects, arrays with a length,
typed arrays, strings and whole numbers; big-endian. Anything else is refused, and so are keys that
are not strictly ascending: XGBoost's own are, and a key given twice means one thing to each reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from serving.admission import broken
from serving.admission.broken import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 8  # objects and arrays within each other; XGBoost needs 7
MAX_VALUES = 200_000  # that are not numbers of a typed array; a tree has about 22
MAX_TEXT = 1000  # bytes of one string
WHAT = "the booster"
_WHOLE = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8"}
_TYPED = {**_WHOLE, b"d": ">f4"}

type Value = dict[str, Any] | list[Any] | np.ndarray | str | int


def read(data: bytes) -> dict[str, Any]:
    """Return the object in these bytes, typed arrays as views of them; BundleBroken otherwise."""
    broken.must_be_within(len(data), MAX_BYTES, WHAT)
    broken.must_not_be_pickle(data, WHAT)
    reader = _Reader(data)
    document = reader.value(0)
    if reader.at != len(data):
        refuse(f"{WHAT} must end where its object ends", f"{len(data) - reader.at:,} bytes more")
    if not isinstance(document, dict):
        refuse(f"{WHAT} must be an object", type(document).__name__)
    return document


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._values = 0
        self.at = 0
        self._of: dict[bytes, Callable[[int], Value]] = {
            b"{": self._object,
            b"[": self._array,
            b"S": lambda _: self._text(),
        }

    def value(self, depth: int) -> Value:
        self._values += 1
        if self._values > MAX_VALUES or depth > MAX_DEPTH:
            rule = f"{WHAT} must hold {MAX_VALUES:,} values at most, nested {MAX_DEPTH} deep"
            refuse(rule, f"more by byte {self.at:,}")
        marker = self._take(1)
        if marker in _WHOLE:
            return self._whole(marker)
        if marker not in self._of:
            self._bad("a value that XGBoost writes", marker)
        return self._of[marker](depth + 1)

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        last = ""
        while self._peek() != b"}":
            key = self._text()
            if found and key <= last:
                refuse(f"{WHAT} must have each key once and in order", f"'{key}' after '{last}'")
            found[key] = self.value(depth)
            last = key
        self._take(1)
        return found

    def _array(self, depth: int) -> list[Any] | np.ndarray:
        if self._peek() == b"$":
            return self._typed()
        self._expect(b"#")
        return [self.value(depth) for _ in range(self._length(1))]

    def _typed(self) -> np.ndarray:
        self._expect(b"$")
        kind = self._take(1)
        if kind not in _TYPED:
            self._bad("numbers in a typed array", kind)
        self._expect(b"#")
        dtype = np.dtype(_TYPED[kind])
        count = self._length(dtype.itemsize)
        found = np.frombuffer(self._data, dtype, count, self.at)
        self.at += count * dtype.itemsize
        return found

    def _text(self) -> str:
        count = self._length(1)
        if count > MAX_TEXT:
            refuse(f"a text in {WHAT} must have {MAX_TEXT} bytes at most", count)
        raw = self._take(count)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self._bad("UTF-8", raw)
        if not text.isprintable():
            self._bad("printable texts", raw)
        return text

    def _length(self, size: int) -> int:
        """Return a length whose elements, of `size` bytes at least, are still to come."""
        self._expect(b"L")
        count = self._whole(b"L")
        if not 0 <= count <= (len(self._data) - self.at) // size:
            refuse(f"a length in {WHAT} must fit the bytes that follow", f"{count:,}")
        return count

    def _whole(self, marker: bytes) -> int:
        dtype = np.dtype(_WHOLE[marker])
        raw = self._take(dtype.itemsize)
        return int.from_bytes(raw, "big", signed=dtype.kind == "i")

    def _expect(self, marker: bytes) -> None:
        found = self._take(1)
        if found != marker:
            self._bad(repr(marker.decode()), found)

    def _peek(self) -> bytes:
        return self._data[self.at : self.at + 1]

    def _take(self, count: int) -> bytes:
        taken = self._data[self.at : self.at + count]
        if len(taken) < count:
            refuse(f"{WHAT} must be whole", f"an end at byte {len(self._data):,}")
        self.at += count
        return taken

    def _bad(self, wanted: str, found: bytes) -> None:
        refuse(f"{WHAT} must have {wanted} at byte {self.at - len(found):,}", f"{found[:20]!r}")
