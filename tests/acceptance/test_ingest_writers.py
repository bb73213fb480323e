"""Many writers of one log at once, some of them killed: every lot once and whole."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from cluster.settings import Settings
from cluster.workspace import Workspace
from features import ingest, log
from tests.acceptance.child_ingest import OWN, SHARED

BUCKETS = 2
LONGEST_S = 1.5  # until a kill
PAUSES = 4  # between two reads, in times of a read


@dataclass
class Reader:
    """Somebody who reads the log all the time, and counts the rows of each lot."""

    tables: Any
    reads: int = 0
    torn: set[str] = field(default_factory=set)  # lots of which not all rows were seen
    doubled: set[str] = field(default_factory=set)

    def look(self) -> Counter[str]:
        """Read once."""
        texts = self.tables.read(log.TABLE, columns=["text"])["text"]
        counts = Counter({v["values"]: v["counts"] for v in pc.value_counts(texts).to_pylist()})
        whole = {name: SHARED if name.startswith("lot all") else OWN for name in counts}
        self.torn |= {name for name, count in counts.items() if count < whole[name]}
        self.doubled |= {name for name, count in counts.items() if count > whole[name]}
        self.reads += 1
        return counts


@dataclass(frozen=True, kw_only=True)
class Writers:
    """Processes at work on one log."""

    children: list[Any]
    ways: dict[str, Any]
    folder: Path  # of the acknowledgements

    def start(self, writer: int) -> None:
        """Let a writer go on behind its last acknowledged lot: what was in flight comes again."""
        first = len(self.acknowledged(writer))
        file = str(self.folder / f"{writer}.txt")
        self.children[writer].start(
            "lots", writer=writer, first=first, acknowledged=file, **self.ways
        )

    def acknowledged(self, writer: int) -> list[list[int]]:
        """Return number, added and known of every lot that a writer was told is in the log."""
        file = self.folder / f"{writer}.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return [[int(word) for word in line.split()] for line in lines]

    def run(self, rng: random.Random, kills: int) -> int:
        """Work to the end; returns how many kills met a writer at work."""
        everybody = range(len(self.children))
        for writer in everybody:
            self.start(writer)
        killed, left = 0, set(everybody)
        while killed < kills and left:
            time.sleep(rng.uniform(0, LONGEST_S))
            writer = rng.choice(sorted(left))
            if self.children[writer].kill(0) is None:
                killed += 1
                self.start(writer)
            else:
                left.discard(writer)
        for writer in left:
            self.children[writer].wait()
        return killed


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty workspace, on SQLite and on PostgreSQL."""
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    return Settings(home=tmp_path / "home", buckets=BUCKETS, database_url=url)


@pytest.fixture
def written(
    children: Callable[[int], list[Any]], terms: Any, tmp_path: Path
) -> Callable[..., tuple[Reader, Writers, Counter[str], int]]:
    """Return a function that lets writers work while somebody reads."""

    def run(
        settings: Settings, writers: int, lots: int, kills: int, fault: str = "none"
    ) -> tuple[Reader, Writers, Counter[str], int]:
        url = settings.database_url.get_secret_value() if settings.database_url else None
        ways = {"home": str(settings.home), "url": url, "buckets": BUCKETS}
        ways |= {"lots": lots, "fault": fault}
        crowd = Writers(children=children(writers), ways=ways, folder=tmp_path)
        with Workspace.open(settings) as workspace:
            ingest.ingest(workspace, terms, log.CANDIDATE.empty_table())  # makes the tables
            reader = Reader(workspace.tables)
            with _reading(reader):
                killed = crowd.run(random.Random(lots), kills)
            return reader, crowd, reader.look(), killed

    return run


class _reading:
    """Somebody reads while this is open."""

    def __init__(self, reader: Reader) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(reader,))

    def _read(self, reader: Reader) -> None:
        pause_s = 0.0
        while not self._done.wait(pause_s):
            begun = time.monotonic()
            reader.look()
            pause_s = PAUSES * (time.monotonic() - begun)  # leaves the machine to the writers

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def _lots(writers: int, lots: int) -> Counter[str]:
    """Return the rows that there must be of each lot."""
    own = {f"lot {writer}-{number}": OWN for writer in range(writers) for number in range(lots)}
    return Counter(own | {f"lot all-{number}": SHARED for number in range(lots)})


@pytest.mark.parametrize(
    ("place", "writers", "lots", "kills"),
    [
        pytest.param("sqlite", 3, 4, 1, id="short"),
        pytest.param("postgresql", 3, 8, 2, id="short-postgresql", marks=pytest.mark.drill),
        pytest.param("sqlite", 8, 50, 20, id="long", marks=pytest.mark.drill),
    ],
    indirect=["place"],
)
def test_the_log_holds_exactly_the_acknowledged_lots_and_each_was_seen_whole(
    written: Callable[..., Any], place: Settings, tell: Callable[[str], None],
    writers: int, lots: int, kills: int,
) -> None:  # fmt: skip
    """A tenth of the rows comes from every writer, and is there once."""
    begun = time.monotonic()
    reader, crowd, there, killed = written(place, writers, lots, kills)
    said = [crowd.acknowledged(writer) for writer in range(writers)]
    rows = sum(there.values())
    tell(
        f"T26: {writers} writers x {lots} lots on {place.database.partition(':')[0]}, "
        f"{killed} kills: {sum(map(len, said))} acknowledged, {rows:,} rows, "
        f"{reader.reads} reads, {len(reader.torn)} lots seen in part, "
        f"{len(reader.doubled)} doubled; {time.monotonic() - begun:.1f} s"
    )
    assert killed == kills
    assert all([number for number, *_ in told] == list(range(lots)) for told in said)
    assert there == _lots(writers, lots)
    assert (reader.torn, reader.doubled) == (set(), set())


@pytest.mark.parametrize(
    ("fault", "is_seen"),
    [
        pytest.param("not looking", lambda reader, lost: reader.doubled, id="not looking"),
        pytest.param("renaming", lambda reader, lost: lost, id="renaming"),
        pytest.param("in halves", lambda reader, lost: reader.torn, id="in halves"),
    ],
)
def test_writers_without_a_defence_are_caught(
    written: Callable[..., Any], settings: Settings, fault: str, is_seen: Callable[..., object]
) -> None:
    """Mutants: rows doubled without a look at what others added, commits lost to a rename in place
    of compare-and-swap, lots seen in part where they come in two commits.
    """
    reader, _, there, _ = written(settings, 2, 2, 0, fault)
    assert is_seen(reader, _lots(2, 2) - there)
