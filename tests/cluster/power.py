"""A disk that forgets what was not synced: SQLite's writes are recorded, and a power cut replayed.

APSW lets a file system of SQLite be written in Python. Ours writes through to files and notes every
write, cut and sync. `cuts` then shows what the disk may hold after a power cut at some moment: all
that was synced, and of the rest any sectors of 512 bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

NAME = "funnelcast-power"
SECTOR = 512


class Step(NamedTuple):
    """Something that happened: a write, a cut (truncation), a sync, or an acknowledgement."""

    what: str
    file: str = ""
    offset: int = 0
    data: bytes = b""
    ids: tuple[str, ...] = ()


class Disk(apsw.VFS):
    """A file system of SQLite that notes what happens to the files of a database."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        super().__init__(NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        """Open a file through to the real one."""
        return _File(self.steps, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, steps: list[Step], name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._steps, self._name = steps, Path(path or "").name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._steps.append(Step("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._steps.append(Step("cut", self._name, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self._steps.append(Step("sync", self._name))
        super().xSync(flags)


class Driver:
    """A connection on such a disk, with what our own code asks of the standard driver's.

    Python's file systems share no memory, so a log is only possible for one connection alone.
    """

    isolation_level: str | None = None

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path), vfs=NAME)
        self.execute("PRAGMA locking_mode=EXCLUSIVE")

    def execute(self, statement: str, given: Sequence[Any] = ()) -> Driver:
        """Run a statement to its end."""
        self.rows = list(self._connection.execute(statement, given))
        return self

    def fetchone(self) -> tuple[Any, ...]:
        """Return the first row of the newest statement."""
        return self.rows[0]

    @property
    def rowcount(self) -> int:
        """Rows changed by the newest statement."""
        return self._connection.changes()

    def raw_connection(self) -> Driver:
        """Return itself, as an engine does for its pool."""
        return self

    def cursor(self) -> Driver:
        """Return itself."""
        return self

    def close(self) -> None:
        """Keep the connection: SQLite would tidy up, which a power cut does not."""


def cuts(
    start: dict[str, bytes], steps: list[Step], moments: Sequence[int], rng: random.Random
) -> Iterator[tuple[dict[str, bytes], set[str]]]:
    """Yield what the disk holds after a cut before each moment (sorted), and what was said by then.

    `start` holds the files as they were before the first step, all of it synced.
    """
    synced = {name: bytearray(data) for name, data in start.items()}
    waiting: dict[str, list[Step]] = {}
    said: set[str] = set()
    done = 0
    for moment in moments:
        for step in steps[done:moment]:
            if step.what == "said":
                said |= set(step.ids)
            elif step.what == "sync":
                for written in waiting.pop(step.file, []):
                    _apply(synced, written)
            else:
                waiting.setdefault(step.file, []).append(step)
        done = moment
        yield _left({n: bytearray(d) for n, d in synced.items()}, waiting, rng), set(said)


def _left(
    files: dict[str, bytearray], waiting: dict[str, list[Step]], rng: random.Random
) -> dict[str, bytes]:
    kept = rng.choice([0.0, 0.5, 0.9, 1.0])
    for steps in waiting.values():
        for step in steps:
            for part in _sectors(step):
                if rng.random() < kept:
                    _apply(files, part)
    return {name: bytes(data) for name, data in files.items()}


def _sectors(step: Step) -> Iterator[Step]:
    if step.what == "cut":
        yield step
    at = 0
    while at < len(step.data):
        size = SECTOR - (step.offset + at) % SECTOR
        yield step._replace(offset=step.offset + at, data=step.data[at : at + size])
        at += size


def _apply(files: dict[str, bytearray], step: Step) -> None:
    held = files.setdefault(step.file, bytearray())
    if step.what == "cut":
        del held[step.offset :]
        return
    held.extend(bytes(max(0, step.offset + len(step.data) - len(held))))
    held[step.offset : step.offset + len(step.data)] = step.data


def put(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder, and remove all others."""
    for old in list(folder.iterdir()):
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
