"""The event log: identity, versions, and what is visible when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from cluster.errors import WrongUse
from cluster.tables import Tables
from features import log
from features.known import KnownIds, fresh

if TYPE_CHECKING:
    from cluster.settings import Settings

Events = Callable[..., pa.Table]
DAY_0 = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_the_id_depends_on_content_not_on_place(make_events: Events) -> None:
    """The same row at another line is the same event; another text is another."""
    one = make_events({"at": 1, "source_row": 5, "text": "x", "row_key": "r"})
    two = make_events({"at": 1, "source_row": 9, "text": "x", "row_key": "r"})
    three = make_events({"at": 1, "source_row": 5, "text": "y", "row_key": "r"})
    assert one["event_id"] == two["event_id"] != three["event_id"]


def test_absent_and_empty_are_not_the_same(make_events: Events) -> None:
    """A null and an empty text, or the same letters in two columns, give different ids."""
    ids = [
        make_events({"at": 1, "row_key": "r", **extra})["event_id"][0].as_py()
        for extra in ({}, {"text": ""}, {"text": "a"}, {"rep": "a"}, {"product": "a"})
    ]
    assert len(set(ids)) == 5


def test_the_shard_is_the_account_else_the_next_key(make_events: Events) -> None:
    """Account, then person, lead, opportunity; in the end the row itself."""
    events = make_events(
        {"at": 1, "account": "a", "lead": "l"},
        {"at": 1, "account": None, "lead": "l"},
        {"at": 1, "account": None, "row_key": "r"},
    )
    assert events["shard"].to_pylist() == ["a", "l", "r"]


def test_replaying_adds_nothing(make_events: Events) -> None:
    """Known ids and repeats within one batch are left out, order is kept."""
    events = make_events({"at": 1}, {"at": 2}, {"at": 3})
    twice = pa.concat_tables([events, events])
    known = KnownIds()
    fresh(events.slice(0, 1), known)
    new, versions = fresh(twice, known)
    assert new["event_id"].to_pylist() == events["event_id"].to_pylist()[1:]
    assert not len(versions)


def test_a_correction_supersedes_from_the_moment_it_is_known(make_events: Events) -> None:
    """Before it the old version is visible, from then on the new one."""
    events = make_events(
        {"at": 1, "known": 2, "row_key": "r", "number": 1},
        {"at": 1, "known": 5, "row_key": "r", "number": 2},
    )

    def seen(day: float) -> list[int]:
        return log.visible(events, DAY_0 + timedelta(days=day))["number"].to_pylist()

    assert [seen(1.5), seen(2), seen(4.9), seen(5)] == [[], [1], [1], [2]]


def test_versions_known_at_once_have_one_order(make_events: Events) -> None:
    """Which of two wins does not depend on the order of rows."""
    rows = [{"at": 1, "row_key": "r", "number": n} for n in range(5)]
    events = make_events(*rows)
    winner = events.filter(pa.array(log.retracted_at(events) == log.NEVER))["number"]
    mixed = events.take(np.array([3, 0, 4, 2, 1]))
    assert mixed.filter(pa.array(log.retracted_at(mixed) == log.NEVER))["number"] == winner
    assert len(winner) == 1


@pytest.mark.parametrize("column", ["known_at", "event_time"])
def test_times_are_whole_microseconds(make_events: Events, column: str) -> None:
    """No time is rounded on its way through the log."""
    events = make_events({"at": 1 / 3, "known": 1 / 7})
    days = {"event_time": 1 / 3, "known_at": 1 / 7}[column]
    assert log.microseconds(events[column])[0] == 1_700_000_000_000_000 + round(
        days * 86_400_000_000
    )


@pytest.mark.parametrize("text", ["yesterday", "2025-03-01T00:00:00"])
def test_a_moment_without_a_zone_is_refused(text: str, settings: Settings) -> None:
    """A time that could mean two moments is not guessed."""
    tables = Tables(settings.database, settings.warehouse)
    with pytest.raises(WrongUse, match=r"time zone|ISO 8601"):
        log.as_of(text, tables, 1)
