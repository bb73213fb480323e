"""Each question is on record once and started by one, within what a planner may; what a job says
counts for its attempt alone. On both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from cluster import schema
from cluster.errors import Refusal
from cluster.settings import SimulationSettings
from serving.simulations import store as stores
from serving.simulations.quotas import Used, refused
from serving.simulations.records import Asked, Kept, Run
from serving.simulations.store import Store
from serving.simulations.words import TooManySimulations

if TYPE_CHECKING:
    from cluster.database import Database

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
MUCH = SimulationSettings(per_day=1_000, at_once=1_000, queue=1_000)
ASKERS = 8


@pytest.fixture
def store(database: Database) -> Store:
    """Return the simulations of an empty database."""
    return Store(database)


def asked(key: str = "k", owner: str = "ada", now: datetime = NOW, id: str = "") -> Asked:
    """Return a question; its id is that of the key unless told otherwise."""
    request = {"scenarios": [{"name": key}]}
    return Asked(id=id or f"id-{key}", key=key, request=request, pinned={}, owner=owner, now=now)


def begun(store: Store, given: Asked, allowed: SimulationSettings = MUCH) -> tuple[Kept, bool]:
    """Begin what may be begun."""
    found = store.begin(given, allowed)
    assert not isinstance(found, TooManySimulations)
    return found


def _race(store: Store) -> list[bool]:
    """Return whether each of several who ask the same at once has to start it."""
    given = [asked(owner=f"planner-{n}", id=f"id-{n}") for n in range(ASKERS)]
    with ThreadPoolExecutor(ASKERS) as pool:
        return [is_due for _, is_due in pool.map(lambda each: begun(store, each), given)]


def test_of_many_who_ask_at_once_one_starts(store: Store) -> None:
    """The others join it, and it is theirs too."""
    assert sorted(_race(store)) == [False] * (ASKERS - 1) + [True]
    (kept,) = store.listed(None, 10)
    assert store.owners(kept.id) == {f"planner-{n}" for n in range(ASKERS)}


def test_a_store_that_always_starts_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of the above: every status may be started again."""
    monkeypatch.setattr(stores, "AGAIN", (*stores.AGAIN, *stores.UNDER_WAY))
    assert sum(_race(store)) > 1


def test_one_that_failed_is_started_again(store: Store) -> None:
    """As another attempt of the same id; one that is done, or under way, is not."""
    kept, _ = begun(store, asked())
    assert store.failed(kept.run, "the disk is full", NOW)
    again, is_due = begun(store, asked(now=NOW + SECOND))
    assert (again.id, again.attempt, again.why, is_due) == (kept.id, 2, None, True)
    assert store.done(again.run, "digest", NOW)
    last, is_due = begun(store, asked(now=NOW + 2 * SECOND))
    assert (last.status, last.result, is_due) == (stores.DONE, "digest", False)


def test_what_an_old_attempt_says_changes_nothing(store: Store) -> None:
    """Nor what comes after the end: the first end stands."""
    kept, _ = begun(store, asked())
    assert store.cancelled(kept.run, NOW)
    assert not store.done(kept.run, "digest", NOW)
    again, _ = begun(store, asked())
    assert not store.running(kept.run, None, NOW)
    assert not store.failed(kept.run, "killed", NOW)
    assert store.running(again.run, {"done": 1, "total": 2, "what": "chunks"}, NOW)
    found = store.get(kept.id)
    assert found is not None
    assert (found.status, found.why, found.progress) == (
        stores.RUNNING, None, {"done": 1, "total": 2, "what": "chunks"}
    )  # fmt: skip


def test_a_store_that_believes_old_attempts_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: without the status of the row a late word revives what was cancelled."""
    kept, _ = begun(store, asked())
    store.cancelled(kept.run, NOW)
    monkeypatch.setattr(stores, "UNDER_WAY", (*stores.UNDER_WAY, stores.CANCELLED))
    assert store.done(kept.run, "digest", NOW)


def test_a_planner_has_so_many_under_way(store: Store) -> None:
    """One that ends makes room; those of others do not count."""
    allowed = SimulationSettings(at_once=2, per_day=100)
    first, _ = begun(store, asked("a"), allowed)
    begun(store, asked("b"), allowed)
    refused = store.begin(asked("c"), allowed)
    assert isinstance(refused, TooManySimulations)
    assert str(refused).startswith("a planner may have 2 simulations under way, got 2")
    begun(store, asked("c", owner="bob"), allowed)
    begun(store, asked("c"), allowed)  # joining starts nothing
    store.done(first.run, "digest", NOW)
    begun(store, asked("d"), allowed)


def test_all_planners_have_so_many_under_way(store: Store) -> None:
    """However many planners there are."""
    allowed = SimulationSettings(queue=3)
    for name in "abc":
        begun(store, asked(name, owner=name), allowed)
    refused = store.begin(asked("d", owner="d"), allowed)
    assert isinstance(refused, TooManySimulations)
    assert refused.again_s > 0


def test_a_planner_starts_so_many_within_a_day(store: Store) -> None:
    """Those that could not be started do not count; a day later there is room."""
    allowed = SimulationSettings(per_day=2, at_once=100)
    for number, name in enumerate("abc"):
        kept, _ = begun(store, asked(name, now=NOW + number * SECOND), allowed)
        if name == "b":
            store.not_started(kept.run, "no cluster", NOW)
    refused = store.begin(asked("d", now=NOW + 3 * SECOND), allowed)
    assert isinstance(refused, TooManySimulations)
    assert refused.again_s == DAY.total_seconds() - 3
    begun(store, asked("d", now=NOW + DAY + SECOND), allowed)


@pytest.mark.parametrize("used", [{"own": 3}, {"all": 20}, {"started": (NOW,) * 200}])
def test_each_quota_is_one(used: dict[str, Any]) -> None:
    """One below is let in."""
    ordinary = SimulationSettings()
    less = {"own": 2, "all": 19, "started": (NOW,) * 199}
    assert refused(Used(**less), ordinary, NOW) is None  # type: ignore[arg-type]
    assert refused(Used(**{**less, **used}), ordinary, NOW) is not None  # type: ignore[arg-type]


def test_a_store_without_quotas_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of all three."""
    monkeypatch.setattr(stores.quotas, "refused", lambda *_: None)
    allowed = SimulationSettings(per_day=0, at_once=1, queue=1)
    assert begun(store, asked("a"), allowed)[1]
    assert begun(store, asked("b"), allowed)[1]


def test_what_could_not_be_started_is_not_counted(store: Store) -> None:
    """Though another joined it meanwhile."""
    once = SimulationSettings(per_day=1)
    kept, _ = begun(store, asked(), once)
    begun(store, asked(owner="bob", now=NOW + SECOND), once)
    store.not_started(kept.run, "no cluster", NOW + SECOND)
    assert begun(store, asked(now=NOW + 2 * SECOND), once)[1]


def test_what_its_planner_asked_again_meanwhile_stays_on_record(store: Store) -> None:
    """The second was given the id: it is not taken off the record with the job of the first."""
    kept, _ = begun(store, asked())
    assert not begun(store, asked(now=NOW + SECOND))[1]
    store.not_started(kept.run, "no cluster", NOW + SECOND)
    found = store.get(kept.id)
    assert found is not None and found.status == stores.FAILED


def test_of_repeats_the_last_is_kept_and_none_is_counted(store: Store) -> None:
    """However often a planner asks for what is done, it is one start and one row besides."""
    once = SimulationSettings(per_day=1)
    kept, _ = begun(store, asked(), once)
    store.done(kept.run, "digest", NOW)
    begun(store, asked("other", now=NOW + SECOND, owner="bob"), once)
    begun(store, asked("other", now=NOW + 2 * SECOND), once)
    for seconds in (3, 4, 4):
        begun(store, asked(now=NOW + seconds * SECOND), once)
    assert [each.id for each in store.listed("ada", 10)] == ["id-k", "id-other"]
    with store._database.connect() as connection:
        rows = sa.select(schema.simulation_asks.c.started, schema.simulation_asks.c.at)
        mine = rows.where(schema.simulation_asks.c.simulation == kept.id)
        found = connection.execute(mine.order_by(schema.simulation_asks.c.at)).tuples().all()
    last = schema.micros(NOW + 4 * SECOND) + 1
    assert found == [(True, schema.micros(NOW)), (False, last)]
    assert isinstance(store.begin(asked("third", now=NOW + DAY - SECOND), once), Refusal)
    assert begun(store, asked("third", now=NOW + DAY + SECOND), once)[1]


def test_an_id_that_no_database_takes_is_of_none(store: Store) -> None:
    """PostgreSQL has no NUL in its texts."""
    assert store.get("id-\0") is None


def test_the_newest_are_listed_first(store: Store) -> None:
    """Those of one's own, by when one asked; all of them for who sees all."""
    for number, (key, owner) in enumerate([("a", "ada"), ("b", "bob"), ("c", "ada")]):
        begun(store, asked(key, owner, NOW + number * SECOND))
    begun(store, asked("a", "bob", NOW + 9 * SECOND))
    assert [each.id for each in store.listed("ada", 10)] == ["id-c", "id-a"]
    assert [each.id for each in store.listed("bob", 10)] == ["id-a", "id-b"]
    assert [each.id for each in store.listed(None, 2)] == ["id-a", "id-c"]
    assert store.listed("eve", 10) == []


def test_a_run_is_written_as_it_is_read() -> None:
    """And a text that is none is refused."""
    run = Run(id="4f2a", attempt=3)
    assert Run.read(str(run)) == run
    for text in ("", "4f2a", "4f2a.", "4f2a.x"):
        with pytest.raises(ValueError, match="invalid literal"):
            Run.read(text)
