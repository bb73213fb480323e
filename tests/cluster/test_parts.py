"""Parts: what is finished of some work stays on record until it is committed, or rests for long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from cluster.parts import Part, Parts

if TYPE_CHECKING:
    from cluster.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _part(number: int, *files: str) -> Part:
    return Part(number=number, files=files, said={"rows": number})


@pytest.fixture
def parts(db: Database) -> Parts:
    """Return the parts of an empty database."""
    return Parts(db)


def test_parts_are_kept_by_work_and_number(parts: Parts) -> None:
    """Of two of a number the first stays, and other work has its own."""
    for part in (_part(2, "b"), _part(1, "a", "x"), _part(2, "late")):
        parts.keep("one", part, NOW)
    parts.keep("other", _part(1, "c"), NOW)
    assert parts.resume("one", NOW) == [_part(1, "a", "x"), _part(2, "b")]
    assert parts.files() == {"a", "x", "b", "c"}


def test_parts_are_dropped_one_by_one_or_all(parts: Parts) -> None:
    """What is dropped may be kept anew."""
    for number in range(4):
        parts.keep("one", _part(number), NOW)
    parts.drop("one", {1, 3})
    parts.drop("one", set())
    assert [part.number for part in parts.resume("one", NOW)] == [0, 2]
    parts.keep("one", _part(1, "again"), NOW)
    assert parts.files() == {"again"}
    parts.drop("one")
    assert parts.resume("one", NOW) == []


def test_only_work_that_rests_is_forgotten(parts: Parts) -> None:
    """One young part keeps all parts of its work; work taken up again is young."""
    for work, number, age in (("going", 1, 9), ("going", 2, 0), ("resting", 1, 9), ("up", 1, 9)):
        parts.keep(work, _part(number, f"{work}-{number}"), NOW - age * HOUR)
    parts.resume("up", NOW)
    assert len(parts.forget(NOW - 5 * HOUR)) == 1
    assert parts.files() == {"going-1", "going-2", "up-1"}
    assert len(parts.forget(NOW + HOUR)) == 3
