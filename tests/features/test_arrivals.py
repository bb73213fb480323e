"""Arrivals below HTTP: the wire format, groups of requests, and many senders at once."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Thread, current_thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from cluster import schema
from cluster.errors import WrongUse
from cluster.settings import CONFIGS, ROOT, Settings
from cluster.workspace import Workspace
from features import arrivals, compaction, log, online
from features.arrivals import (
    Entrance,
    EntranceBroken,
    Malformed,
    Outcome,
    Sent,
    entrance,
    lookup,
    pending,
)
from features.arrivals.intake import Intake
from features.arrivals.lookup import Lookup
from features.contracts import load_contracts
from features.ingest import origin, quarantine
from features.online import follower, tail

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

type Answer = list[Outcome]

CONTRACTS = load_contracts(CONFIGS / "contracts")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
)


def _event(id: str = "1", **changes: Any) -> dict[str, Any]:
    said = {"type": "funnelcast.touch.web_visit", "time": "2026-02-01T10:30:00+01:00"}
    data = {"lead": "lead-1", "account": "a-1"}
    return {"specversion": "1.0", "id": id, "source": "/test", **said, "data": data, **changes}


def _read(*events: Any) -> list[Sent | Malformed]:
    read = arrivals.read(json.dumps(events).encode(), is_batch=True)
    assert isinstance(read, list)
    return read


def _entrance(workspace: Workspace) -> Entrance:
    return Entrance(workspace, online.OnlineStore(workspace), CONTRACTS)


def test_an_envelope_is_read_as_it_stands() -> None:
    """Kind and name from the type, the time with its zone, extensions let pass."""
    [sent] = _read(_event(traceparent="00-1", subject="x"))
    assert isinstance(sent, Sent)
    assert (sent.kind, sent.name, sent.row_key) == ("touch", "web_visit", "/test 1")
    assert sent.time == datetime(2026, 2, 1, 9, 30, tzinfo=UTC)


@given(JSON)
def test_any_json_is_read_and_no_value_of_it_is_told(said: Any) -> None:
    """What is no event says why, in words of ours."""
    [line] = _read({"secret-name": said}) if not isinstance(said, dict) else _read(said)
    assert isinstance(line, Malformed)
    assert "keeps the envelope" in line.reason
    assert "secret-name" not in line.reason


@given(st.binary(max_size=30))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing raises."""
    read = arrivals.read(body, is_batch=True)
    assert isinstance(read, list) or not read


def _grouped(
    workspace: Workspace, *requests: list[Sent | Malformed], meanwhile: str = "SELECT 1"
) -> list[Future[Answer]]:
    """Send requests so that the first waits for the database and the others gather behind it, in
    their order, until a statement is committed; return what became of each.
    """
    opened = _entrance(workspace)
    opened.accept(_read(_event("opens")))
    asks: list[str] = []
    sa.event.listen(
        workspace.database.engine, "engine_connect", lambda _: asks.append(current_thread().name)
    )
    with ThreadPoolExecutor(len(requests)) as pool, workspace.database.begin() as connection:
        futures = []
        for place, request in enumerate(requests):
            futures.append(pool.submit(opened.accept, request))
            _until(lambda place=place: len(opened._groups._items) == place)
            _until(lambda: "arrivals" in asks)
        connection.execute(sa.text(meanwhile))
    return futures


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _statuses(*futures: Future[Answer]) -> list[list[str]]:
    return [[outcome.status for outcome in future.result()] for future in futures]


@pytest.mark.parametrize(("most", "commits"), [(1_000, 2), (4, 3), (1, 9)])
def test_requests_that_come_meanwhile_share_the_next_commit(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, most: int, commits: int
) -> None:
    """Nine requests of an event each are two commits; no commit holds more than may be sent."""
    monkeypatch.setattr(entrance, "MOST_EVENTS", most)
    made: list[int] = []
    add = pending.add
    monkeypatch.setattr(
        pending, "add", lambda *given: made.append(given[2].num_rows) or add(*given)
    )
    futures = _grouped(workspace, *(_read(_event(str(n))) for n in range(9)))
    assert _statuses(*futures) == [["accepted"]] * 9
    assert (len(made) - 1, sum(made), max(made) <= most) == (commits, 10, True)


def test_each_request_of_a_group_gets_its_own_answer(workspace: Workspace) -> None:
    """A repeat in another request is a duplicate, and a refusal is told to its sender alone."""
    bad = _event("bad", type="funnelcast.touch.web_vist", source="/other")
    futures = _grouped(
        workspace,
        _read(_event("0")),
        _read(_event("1"), bad, {"no": "event"}),
        _read(_event("1"), _event("2")),
        _read(_event("2", source="/other")),
    )
    assert _statuses(*futures[:2]) == [["accepted"], ["accepted", "refused", "refused"]]
    assert _statuses(*futures[2:]) == [["duplicate", "accepted"], ["accepted"]]
    assert [(o.id, o.source) for o in futures[1].result()] == [
        ("1", "/test"), ("bad", "/other"), (None, None)
    ]  # fmt: skip
    kept = pending.waiting(workspace.database, 10)
    for rows, sources in (
        (kept.events, ["/other", "/test", "/test", "/test", "/test"]),
        (kept.refused, ["/other", "unknown"]),
    ):
        assert sorted(rows["source"].to_pylist()) == sources
        origins = [origin.read(workspace.blobs, name).source for name in rows["ingest"].to_pylist()]
        assert origins == rows["source"].to_pylist()


def test_requests_take_effect_in_the_order_in_which_they_came(workspace: Workspace) -> None:
    """Of two versions of a row in one group that which came last is the one known last."""
    first, last = _event("1"), _event("1", type="funnelcast.touch.pricing_visit")
    futures = _grouped(workspace, _read(_event("0")), _read(first), _read(last))
    assert _statuses(*futures) == [["accepted"]] * 3
    rows = online.OnlineStore(workspace).events("a-1").sort_by("known_at").to_pylist()
    assert [row["name"] for row in rows if row["row_key"] == "/test 1"] == [
        "web_visit", "pricing_visit"
    ]  # fmt: skip


@pytest.mark.parametrize("is_mutant", [False, True])
def test_a_request_that_fails_leaves_its_neighbours_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """The vault takes nothing since its master key was replaced; who names no person goes on."""
    if is_mutant:
        monkeypatch.setattr(entrance, "_concerns_all", lambda error: True)
    named = _read(_event("named", data={"lead": "lead-1", "person": "ada@example.org"}))
    assert workspace.vault
    with workspace.database.begin() as connection:
        connection.execute(schema.vault_keys.update().values(wrapped_key=b"another"))
    futures = _grouped(workspace, _read(_event("0")), _read(_event("1")), named, _read(_event("2")))
    failed = [type(future.exception()) for future in futures]
    if is_mutant:
        assert failed == [type(None), *[EntranceBroken] * 3]
        return
    assert failed == [type(None), type(None), WrongUse, type(None)]
    assert _statuses(futures[1], futures[3]) == [["accepted"]] * 2
    assert _kept(workspace) == {"/test opens", "/test 0", "/test 1", "/test 2"}


def test_a_database_that_fails_is_told_to_all_after_one_try(workspace: Workspace) -> None:
    """Nobody is acknowledged; everybody gets an error of its own."""
    tries: list[object] = []
    sa.event.listen(workspace.database.engine, "handle_error", tries.append)
    futures = _grouped(
        workspace,
        *(_read(_event(str(n))) for n in range(4)),
        meanwhile="ALTER TABLE arrivals RENAME TO gone",
    )
    failed = [future.exception() for future in futures]
    assert all(isinstance(each, EntranceBroken) and "no such table" in str(each) for each in failed)
    assert (len({id(each) for each in failed}), len(tries)) == (4, 2)
    assert tail.count(workspace.database) == 1


def _kept(workspace: Workspace) -> set[str]:
    return {*pending.waiting(workspace.database, 10_000).events["row_key"].to_pylist()}


@pytest.mark.parametrize("is_mutant", [False, True])
def test_nothing_is_acknowledged_before_its_commit(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """While another holds the database nobody is answered; the mutant answers at once."""
    opened = _entrance(workspace)
    opened.accept(_read(_event("opens")))
    if is_mutant:
        monkeypatch.setattr(
            Intake, "_keep", lambda self, checked, now: np.ones(checked.good.num_rows, bool)
        )
    with ThreadPoolExecutor(4) as pool, workspace.database.begin():
        futures = [pool.submit(opened.accept, _read(_event(str(n)))) for n in range(4)]
        early = len(wait(futures, timeout=0.3).done)
    assert early == (4 if is_mutant else 0)
    assert _statuses(*futures) == [["accepted"]] * 4
    assert len(_kept(workspace)) == (1 if is_mutant else 5)


def test_what_several_posters_were_told_survives_a_kill(settings: Settings) -> None:
    """Killed right after an acknowledgement, no event is lost; a mutant that commits later loses
    some.
    """
    child = Path(__file__).with_name("child_poster.py")
    with subprocess.Popen(
        [sys.executable, str(child), str(settings.home), "early"],
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
    ) as starter:  # fmt: skip
        said = [_killed_after(starter, 60), _killed_after(starter, 60)]
        starter.kill()
    with Workspace.open(settings) as workspace:
        compaction.fold(workspace)
        kept = Counter(workspace.tables.read(log.TABLE)["row_key"].to_pylist())
    assert set(kept.values()) == {1}
    assert [told <= set(kept) for told in said] == [True, False]


def _killed_after(starter: subprocess.Popen[str], least: int) -> set[str]:
    """Kill a worker when it has acknowledged so many events; return all that it has."""
    assert starter.stdout is not None
    worker = int(next(line for line in starter.stdout if line.startswith("worker ")).split()[1])
    told = {starter.stdout.readline().strip() for _ in range(least)}
    os.kill(worker, signal.SIGKILL)
    return told


@pytest.mark.parametrize("is_mutant", [False, True])
def test_an_event_that_moves_into_a_base_meanwhile_stays_a_duplicate(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """It is never in neither: a follower cannot come between the two questions. The mutant asks the
    base before its transaction and takes the event in again.
    """
    monkeypatch.setattr(follower, "FEW", 0)
    store = online.OnlineStore(workspace)
    opened = Entrance(workspace, store, CONTRACTS)
    opened.accept(_read(_event("visit")))
    compaction.fold(workspace)
    base, in_base, keep = store.base, Intake._in_base, Intake._keep
    follow = Thread(target=online.follow, args=(workspace,))

    def followed() -> Any:
        found = base()
        if not follow.ident:
            follow.start()
            follow.join(1.0)
        return found

    def first(intake: Intake, checked: Any, now: datetime) -> np.ndarray:
        held = in_base(intake, checked.good)
        monkeypatch.setattr(Intake, "_in_base", lambda *given: held)
        return keep(intake, checked, now)

    monkeypatch.setattr(store, "base", followed)
    if is_mutant:
        monkeypatch.setattr(Intake, "_keep", first)
    [outcome] = opened.accept(_read(_event("visit")))
    follow.join()
    assert outcome.status == ("accepted" if is_mutant else "duplicate")


def test_the_thread_of_an_entrance_ends_with_it(workspace: Workspace) -> None:
    """None is left behind by one that nobody closed."""
    opened = _entrance(workspace)
    opened.accept(_read(_event("1")))
    thread = opened._groups._thread
    assert thread.is_alive()
    del opened
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_no_source_can_ask_for_the_secret_of_quarantine(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pseudonym of a person is shown; that namespace cannot be named. Mutant: one that can."""
    data = {"account": "a-1", "person": "salt"}
    (refused,) = _read(_event(source=quarantine.NAMESPACE, data=data))
    assert isinstance(refused, Malformed)
    monkeypatch.setattr(quarantine, "NAMESPACE", "quarantine")
    store = online.OnlineStore(workspace)
    asked = _read(_event(source=quarantine.NAMESPACE, data=data))
    (found,) = Lookup(workspace, store, CONTRACTS).arrivals(asked)
    assert found.person == quarantine.salt(workspace.vault)


def test_senders_at_once_add_every_event_once(workspace: Workspace) -> None:
    """Four of them send the same hundred events, in four workspaces, in other orders."""
    sent = _read(*(_event(str(n)) for n in range(100)))

    def work(n: int) -> Counter[str]:
        with Workspace.open(workspace.settings) as mine:
            entrance = _entrance(mine)
            turned = sent[25 * n :] + sent[: 25 * n]
            parts = [entrance.accept(turned[k : k + 10]) for k in range(0, 100, 10)]
            return Counter(outcome.status for part in parts for outcome in part)

    with ThreadPoolExecutor(4) as pool:
        counts = sum(pool.map(work, range(4)), Counter())
    assert counts == {"accepted": 100, "duplicate": 300}
    assert pending.waiting(workspace.database, 1000).events.num_rows == 100


@pytest.mark.parametrize("is_mutant", [False, True])
def test_on_postgresql_too_one_of_two_processes_accepts_an_event(
    settings: Settings,
    postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
    is_mutant: bool,
) -> None:
    """Both ask at the same moment; the mutants do not take turns, find nothing and both accept."""
    placed = settings.model_copy(update={"database_url": SecretStr(postgresql_url)})
    both, there = Barrier(2), pending.there

    def together(*given: Any) -> set[bytes]:
        found = there(*given)
        with suppress(BrokenBarrierError):
            both.wait(0.5)
        return found

    if is_mutant:
        monkeypatch.setattr(pending, "take_turn", lambda connection: None)
    with Workspace.open(placed) as one, Workspace.open(placed) as two, ThreadPoolExecutor() as pool:
        opened = [_entrance(one), _entrance(two)]
        for n, each in enumerate(opened):
            each.accept(_read(_event(f"opens {n}")))
        monkeypatch.setattr(pending, "there", together)
        futures = [pool.submit(each.accept, _read(_event("1"))) for each in opened]
        said = sorted(status for statuses in _statuses(*futures) for status in statuses)
        assert said == ["accepted", "accepted" if is_mutant else "duplicate"]
        assert tail.count(one.database) == 3


@pytest.mark.parametrize("few", [follower.FEW, 0])
def test_an_event_that_was_folded_long_ago_is_a_duplicate(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Whether it is still in the tail or only in the base, and though its lead has moved since."""
    monkeypatch.setattr(follower, "FEW", few)
    entrance = _entrance(workspace)
    visit = _read(_event("visit", data={"lead": "lead-1"}))
    created = _read(_event("created", type="funnelcast.lead.created", time="2026-01-01T00:00:00Z"))
    for sent in (visit, created):
        assert [outcome.status for outcome in entrance.accept(sent)] == ["accepted"]
        compaction.fold(workspace)
        online.follow(workspace)
    assert tail.count(workspace.database) == (2 if few else 0)
    assert [outcome.status for outcome in entrance.accept(visit + created)] == ["duplicate"] * 2


def test_arrivals_that_wait_do_not_make_bases(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, make_events: Callable[..., pa.Table]
) -> None:
    """They cannot leave the tail before they are folded, so a base would not shorten it."""
    monkeypatch.setattr(follower, "TAIL_MOST", 20)
    _entrance(workspace).accept(_read(*(_event(str(n)) for n in range(50))))
    log.create(workspace.tables, workspace.settings.buckets)
    workspace.tables.append(log.TABLE, make_events({"at": 1}))
    online.follow(workspace)
    assert online.OnlineStore(workspace).base() is None
    compaction.fold(workspace)
    online.follow(workspace)
    assert online.OnlineStore(workspace).base() is not None
    assert tail.count(workspace.database) == 0


def test_every_arrival_leads_back_to_its_source_and_contracts(workspace: Workspace) -> None:
    """One document per source, whatever the number of requests."""
    later = Workspace.open(workspace.settings, clock=lambda: datetime.now(UTC) + timedelta(hours=1))
    with later:
        for place in (workspace, later):
            entrance = _entrance(place)
            entrance.accept(_read(_event(str(id(place))), _event("x", source="/other")))
    rows = pending.waiting(workspace.database, 10).events
    names = set(rows["ingest"].to_pylist())
    origins = [origin.read(workspace.blobs, name) for name in names]
    assert sorted(o.source for o in origins) == ["/other", "/test"]
    assert {(o.file, o.mapping) for o in origins} == {("POST /v1/events", "cloudevents-1.0")}
    assert all(set(o.contracts) == set(CONTRACTS) for o in origins)


@pytest.mark.parametrize("most", [4, None])
def test_origins_are_remembered_of_the_sources_that_sent_last(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    """A source is free text; one that keeps sending is put once, one forgotten has the same name
    again. The mutant remembers all there ever were.
    """
    monkeypatch.setattr(lookup, "MOST_SOURCES", most)
    asked = Lookup(workspace, online.OnlineStore(workspace), CONTRACTS)
    names = []
    for n in range(40):
        sent = _read(_event(source="/often"), _event(source=f"/{n}"))
        names.append([arrival.ingest for arrival in asked.arrivals(sent)])
    said = asked._origin.cache_info()
    assert (said.currsize, said.misses) == (most or 41, 41)
    assert {often for often, _ in names} == {names[0][0]}
    (again,) = asked.arrivals(_read(_event(source="/0")))
    assert again.ingest == names[0][1]
    assert origin.read(workspace.blobs, again.ingest).source == "/0"
