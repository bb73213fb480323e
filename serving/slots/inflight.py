"""Which calls of a candidate a process is in, in a file that outlives it: what kills a process from
within leaves its mark.

A file per process, mapped and locked. The kernel lets the lock go when the process ends, however
that comes: who gets the lock of another's file reads what it died in. A call costs two writes to
memory.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import uuid
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

FOLDER = "inflight"  # of a workspace
CELLS, CELL_BYTES = 32, 512  # calls at once: of the lane, the mirror, probes, and those that hang
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NO_CALL: AbstractContextManager[None] = nullcontext()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A call of a candidate or a shadow."""

    target: str
    release: str
    epoch: int  # of the release's ref
    arm: str


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a process that is gone was in."""

    process: str  # a name of its own
    calls: tuple[Mark, ...]
    path: Path

    def forget(self) -> None:
        """Remove it: it was told."""
        self.path.unlink(missing_ok=True)


class Marks:
    """The marks of this process. Safe to share between threads."""

    def __init__(self, home: Path) -> None:
        folder = of_this_boot(home)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / uuid.uuid4().hex
        self._file = _mapped(self._path)
        self._free = [number * CELL_BYTES for number in range(CELLS)]

    def begin(self, text: bytes) -> int | None:
        """Write a mark; returns where, None if there is no room."""
        try:
            at = self._free.pop()
        except IndexError:  # so many calls hang: the process is replaced soon
            return None
        self._file[at : at + len(text)] = text
        return at

    def end(self, at: int | None) -> None:
        """Take a mark back."""
        if at is not None:
            self._file[at] = 0
            self._free.append(at)

    def close(self) -> None:
        """Remove the file: a process that ends in order died in nothing."""
        self._path.unlink(missing_ok=True)


class _Call(AbstractContextManager[None]):
    """A call that is marked while it runs."""

    def __init__(self, marks: Marks, mark: Mark) -> None:
        self._marks, self._text = marks, _text(mark)
        self._at: int | None = None

    def __enter__(self) -> None:
        self._at = self._marks.begin(self._text)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._marks.end(self._at)


def during(marks: Marks | None, mark: Mark | None) -> AbstractContextManager[None]:
    """Mark a call while it runs; nothing for one of what answers in any case."""
    return _NO_CALL if marks is None or mark is None else _Call(marks, mark)


def left(home: Path) -> Iterator[Left]:
    """Yield what processes that are gone died in, and forget those that died in nothing. Nobody
    else is given the same meanwhile.
    """
    folder = of_this_boot(home)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with suppress(BlockingIOError, FileNotFoundError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = Left(process=path.name, calls=_calls(file.read()), path=path)
            if found.calls:
                yield found
            else:
                found.forget()


def of_this_boot(home: Path) -> Path:
    """Return the folder of processes of one run of this machine: that it went down says nothing of
    a candidate.
    """
    boot = _BOOT.read_text().strip() if _BOOT.exists() else "any"
    return home / FOLDER / boot


def _mapped(path: Path) -> mmap.mmap:
    """Make a file, locked before anybody may look at it; the lock is held as long as the map."""
    hidden = path.parent.parent / path.name
    handle = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(handle, CELLS * CELL_BYTES)
        fcntl.flock(handle, fcntl.LOCK_EX)
        file = mmap.mmap(handle, CELLS * CELL_BYTES)
    finally:
        os.close(handle)  # the map has a handle of its own, with the lock
    hidden.rename(path)
    return file


@lru_cache(16)
def _text(mark: Mark) -> bytes:
    return json.dumps(asdict(mark)).encode().ljust(CELL_BYTES)[:CELL_BYTES]


def _calls(file: bytes) -> tuple[Mark, ...]:
    """Return the marks of a file; a cell that is free, or was not written to its end, has none."""
    found = []
    for at in range(0, len(file), CELL_BYTES):
        with suppress(ValueError, TypeError):
            found.append(Mark(**json.loads(file[at : at + CELL_BYTES].decode())))
    return tuple(found)
