"""The journal after a power cut: what was acknowledged is there, by the product's own statements.

A killed process cannot show this: the system still writes what the process had handed over.
"""

from __future__ import annotations

import random
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cluster import chain, database, folding, journal, links
from tests.cluster import power

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POINTS, DRILL_POINTS = 50, 500
GROUPS = 330
FOLDED = 40  # groups after which the log is folded
BODY = '{"text":"' + "x" * 2800 + '"}'


@pytest.fixture
def disk() -> Iterator[power.Disk]:
    """A disk that notes what happens."""
    made = power.Disk()
    yield made
    made.unregister()


@pytest.fixture(autouse=True)
def begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log begin anew whenever it is folded."""
    monkeypatch.setattr(folding, "LONG", 1)


@pytest.mark.parametrize(
    "points", [POINTS, pytest.param(DRILL_POINTS, marks=pytest.mark.drill)], ids=["short", "long"]
)
def test_a_power_cut_loses_nothing_acknowledged(
    newest: Path, tmp_path: Path, disk: power.Disk, points: int
) -> None:
    found = _after_cuts(newest, tmp_path, disk, points)
    assert len(found) == points
    assert sum(len(said) for said, _ in found) > 0
    assert [said - stored for said, stored in found] == [set()] * points


def test_without_waiting_for_the_disk_a_power_cut_loses_entries(
    newest: Path, tmp_path: Path, disk: power.Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: synchronous=NORMAL, which no killed process tells from FULL."""
    configured = database._configure_sqlite

    def normal(connection: Any, record: object) -> None:
        configured(connection, record)
        connection.execute("PRAGMA synchronous=NORMAL")

    monkeypatch.setattr(database, "_configure_sqlite", normal)
    found = _after_cuts(newest, tmp_path, disk, POINTS)
    assert sum(bool(said - stored) for said, stored in found) > POINTS / 3


def _after_cuts(
    newest: Path, folder: Path, disk: power.Disk, points: int
) -> list[tuple[set[str], set[str]]]:
    """Return what was said, and what is stored, after a cut at each of so many moments."""
    rng = random.Random(20260301)
    start = {"power.db": newest.read_bytes()}
    (folder / "work").mkdir()
    (folder / "cut").mkdir()
    shutil.copy(newest, folder / "work" / "power.db")
    _write(folder / "work" / "power.db", disk.steps, rng)
    assert {"power.db", "power.db-wal"} == {step.file for step in disk.steps if step.file}
    log = [step for step in disk.steps if step.file == "power.db-wal" and step.what == "write"]
    assert sum(step.offset == 0 for step in log) >= GROUPS // FOLDED  # it began anew so often
    moments = sorted(rng.sample(range(len(disk.steps)), points))
    found = []
    for files, said in power.cuts(start, disk.steps, moments, rng):
        power.put(folder / "cut", files)
        found.append((said, _stored(folder / "cut" / "power.db")))
    return found


def _write(path: Path, steps: list[power.Step], rng: random.Random) -> None:
    """Append groups as the journal does, on the disk that takes notes."""
    driver = power.Driver(path)
    database._use_wal(driver)  # type: ignore[arg-type]
    database._configure_sqlite(driver, None)  # type: ignore[arg-type]
    head = chain.GENESIS
    for group in range(GROUPS):
        rows, last = [], head
        for number in range(rng.randint(1, 4)):
            id = f"{group}-{number}"
            rows.append(chain.link("w", last, id=id, kind="k", at=group, body=BODY))
            last = chain.head_of(rows[-1])
        assert links.extend_sqlite(driver, rows, head) == len(rows)
        head = last
        if group % FOLDED == 0:
            folding.fold(driver)
        steps.append(power.Step("said", ids=tuple(row.id for row in rows)))


def _stored(path: Path) -> set[str]:
    with (
        closing(database.open_database(f"sqlite:///{path}")) as db,
        closing(journal.Journal(db, "look")) as log,
    ):
        with db.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert log.verify()
        return {entry.id for entry in log.entries()}
