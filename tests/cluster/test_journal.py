"""The journal: what is acknowledged is durable, and no later change stays hidden."""

from __future__ import annotations

import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cluster import canonical, chain, chains, database, errors, journal, links, schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    Execute = Callable[..., None]

ODD = {"nul": "\0", "text": 'é "\\ 😀 \u2028', "big": 2**70, "float": 0.1, "deep": [{"a": None}]}


def test_an_entry_is_read_back_as_it_was_acknowledged(log: journal.Journal, now: datetime) -> None:
    entry = log.record("made", ODD, id="x", now=now)
    assert (entry.writer, entry.seq, entry.kind, entry.at) == ("a", 1, "made", now)
    assert entry.body == ODD
    assert log.get("x") == entry
    assert list(log.entries()) == [entry]
    assert log.get("y") is None


def test_the_hash_is_that_of_the_canonical_json_of_the_entry(
    log: journal.Journal, now: datetime
) -> None:
    log.record("made", {}, now=now)
    entry = log.record("made", ODD, now=now)
    hashed = {"writer": "a", "seq": 2, "id": entry.id, "kind": "made", "body": ODD}
    hashed |= {"at": schema.micros(now), "prev_hash": entry.prev_hash}
    assert entry.hash == canonical.digest(hashed)


def test_each_writer_has_a_chain_of_its_own(
    db: database.Database, log: journal.Journal, now: datetime
) -> None:
    with closing(journal.Journal(db, "b")) as other:
        chains = [[one.record("k", {}, now=now) for _ in range(3)] for one in (log, other)]
    for entries in chains:
        assert [entry.seq for entry in entries] == [1, 2, 3]
        assert entries[0].prev_hash == "0" * 64
        assert [e.prev_hash for e in entries[1:]] == [e.hash for e in entries[:-1]]
    heads = {e[-1].writer: chain.Head(seq=3, hash=e[-1].hash) for e in chains}
    assert log.verify() == chain.Verified(entries=6, heads=heads)


def test_a_reopened_writer_continues_its_chain(db: database.Database, now: datetime) -> None:
    for seq in (1, 2, 3):
        with closing(journal.Journal(db, "a")) as log:
            assert log.record("k", {}, now=now).seq == seq
    assert log.verify()


def test_an_empty_journal_verifies(log: journal.Journal) -> None:
    assert log.verify() == chain.Verified(entries=0, heads={})


def test_threads_share_one_chain(log: journal.Journal, now: datetime) -> None:
    def work(number: int) -> list[int]:
        return [log.record("k", {"thread": number}, now=now).seq for _ in range(40)]

    with ThreadPoolExecutor(4) as pool:
        seqs = list(pool.map(work, range(4)))
    assert all(one == sorted(one) for one in seqs)
    assert sorted(seq for one in seqs for seq in one) == list(range(1, 161))
    assert log.verify()


def test_entries_are_chosen_by_kind_and_time_and_read_in_pages(
    log: journal.Journal, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "PAGE", 2)
    monkeypatch.setattr(chains, "PAGE", 2)
    second = timedelta(seconds=1)
    made = [log.record("ab"[n % 2], {"n": n}, now=now - n * second) for n in range(7)]
    assert list(log.entries()) == made[::-1]
    assert list(log.entries(since=now - 3 * second)) == made[3::-1]
    assert list(log.entries("a", since=now - 3 * second)) == [made[2], made[0]]
    assert isinstance(log.verify(), chain.Verified)


def test_the_same_id_and_content_gives_the_stored_entry(
    db: database.Database, log: journal.Journal, now: datetime
) -> None:
    first = log.record("k", {"n": 1}, id="x", now=now)
    assert log.record("k", {"n": 1}, id="x", now=now + timedelta(days=1)) == first
    with closing(journal.Journal(db, "b")) as other:
        assert other.record("k", {"n": 1}, id="x", now=now) == first
    assert list(log.entries()) == [first]


@pytest.mark.parametrize(("kind", "body"), [("k", {"n": 2}), ("other", {"n": 1})])
def test_the_same_id_with_another_content_conflicts(
    log: journal.Journal, now: datetime, kind: str, body: dict[str, Any]
) -> None:
    first = log.record("k", {"n": 1}, id="x", now=now)
    with pytest.raises(journal.Conflict, match="'x'") as conflict:
        log.record(kind, body, id="x", now=now)
    assert conflict.value.stored == first
    assert log.get("x") == first


def test_a_conflict_loses_nothing_else_in_its_group(db: database.Database, now: datetime) -> None:
    with closing(journal.Journal(db, "a", wait_ms=100)) as log:
        futures = [log.append("k", {"n": n // 2}, id="xxyxz"[n], now=now) for n in range(5)]
        wait(futures)
    assert [type(future.exception()).__name__ for future in futures] == [
        "NoneType", "NoneType", "NoneType", "Conflict", "NoneType",
    ]  # fmt: skip
    assert futures[0].result() == futures[1].result()
    assert [entry.id for entry in log.entries()] == ["x", "y", "z"]
    assert log.verify()


def test_a_cancelled_append_is_not_written(db: database.Database, now: datetime) -> None:
    with closing(journal.Journal(db, "a", wait_ms=200)) as log:
        kept, dropped = (log.append("k", {}, id=id, now=now) for id in ("kept", "dropped"))
        assert dropped.cancel()
        assert kept.result().seq == 1
    assert log.get("dropped") is None


def test_closing_writes_everything_queued(db: database.Database, now: datetime) -> None:
    log = journal.Journal(db, "a", wait_ms=1)
    futures = [log.append("k", {"n": n}, now=now) for n in range(1200)]
    log.close()
    assert [future.result(timeout=0).seq for future in futures] == list(range(1, 1201))
    with pytest.raises(errors.WrongUse, match="closed"):
        log.append("k", {}, now=now)


def test_a_failing_database_acknowledges_nothing_and_the_journal_recovers(
    log: journal.Journal, now: datetime, execute: Execute
) -> None:
    log.record("k", {}, now=now)
    execute("ALTER TABLE journal RENAME TO away")
    lost = [log.append("k", {"n": n}, id=f"{n}", now=now) for n in range(3)]
    for future in lost:
        with pytest.raises(journal.JournalBroken, match="append it again") as broken:
            future.result(timeout=10)
        assert "\n" not in str(broken.value)
    execute("ALTER TABLE away RENAME TO journal")
    assert log.record("k", {"n": 0}, id="0", now=now).seq == 2
    assert log.verify()


def test_a_chain_cut_while_it_is_written_is_noticed(
    log: journal.Journal, now: datetime, execute: Execute
) -> None:
    for _ in range(3):
        log.record("k", {}, now=now)
    execute("DELETE FROM journal WHERE seq = 3")
    with pytest.raises(journal.JournalBroken, match="seq 2 where 3 was durable"):
        log.record("k", {}, now=now)


@pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": {1, 2}}, {"x": "\ud800"}])
def test_a_body_that_is_no_json_is_refused_at_once(
    log: journal.Journal, now: datetime, body: dict[str, Any]
) -> None:
    with pytest.raises(errors.WrongUse, match="JSON"):
        log.append("k", body, now=now)


@pytest.mark.parametrize("bad", ["", "nul\0", "\ud800", "x" * 201])
def test_a_name_that_not_every_database_can_hold_is_refused(
    db: database.Database, log: journal.Journal, now: datetime, bad: str
) -> None:
    with pytest.raises(errors.WrongUse, match="kind"):
        log.append(bad, {}, now=now)
    with pytest.raises(errors.WrongUse, match="id"):
        log.append("k", {}, id=bad, now=now)
    with pytest.raises(errors.WrongUse, match="writer"):
        journal.Journal(db, bad)


def test_a_body_already_spelt_is_stored_as_it_is(log: journal.Journal, now: datetime) -> None:
    text = canonical.dumps(ODD).decode()
    entry = log.record("k", journal.Spelt(text), id="x", now=now)
    assert (entry.text, entry.body) == (text, ODD)
    assert log.record("k", ODD, id="x", now=now) == log.get("x") == entry
    assert log.verify()


@pytest.mark.parametrize("bad", ['{"x":"\0"}', '{"x":"\ud800"}'])
def test_a_spelt_body_that_no_database_holds_harms_no_other(
    log: journal.Journal, now: datetime, bad: str
) -> None:
    with pytest.raises(errors.WrongUse, match="JSON"):
        log.append("k", journal.Spelt(bad), now=now)


def test_a_conflict_travels_between_processes(log: journal.Journal, now: datetime) -> None:
    conflict = journal.Conflict(log.record("k", {"n": 1}, id="x", now=now))
    assert copy.copy(conflict).stored == conflict.stored


def test_a_chain_is_only_extended_behind_the_head_that_is_known(
    db: database.Database, log: journal.Journal, now: datetime
) -> None:
    first, second = (log.record("k", {"n": n}, now=now) for n in range(2))
    heads = [chain.GENESIS, chain.Head(seq=1, hash=first.hash), chain.Head(seq=2, hash=first.hash)]
    there = links.Links(db)
    for head in (*heads, chain.Head(seq=9, hash=second.hash)):
        link = chain.link("a", head, id="new", kind="k", at=1, body="{}")
        assert not there.extend([link], head)
    assert len(list(log.entries())) == 2


def test_without_the_guard_a_chain_gets_a_gap(
    db: database.Database, log: journal.Journal, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.record("k", {}, now=now)
    head = chain.Head(seq=9, hash="9" * 64)
    link = chain.link("a", head, id="new", kind="k", at=1, body="{}")
    there = links.Links(db)
    if there._is_sqlite:
        monkeypatch.setattr(links, "_BEHIND", "0 < 1 OR coalesce(?, ?, ?, ?, ?)")
    else:
        start = links._POSTGRESQL.partition("WHERE")[0]
        guard = "WHERE 0 < 1 OR coalesce(%s::text, %s::text, %s, %s, %s::text, %s) IS NULL"
        monkeypatch.setattr(links, "_POSTGRESQL", start + guard)
    assert there.extend([link], head)
    assert "writer 'a' seq 2" in str(log.verify())


def test_a_key_made_to_stand_twice_is_found_at_the_end_of_a_page(
    current_url: str, log: journal.Journal, now: datetime, execute: Execute,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(chains, "PAGE", 3)
    for n in range(6):
        log.record("k", {"n": n}, now=now)
    execute("CREATE TABLE bare AS SELECT * FROM journal")
    execute("INSERT INTO bare SELECT writer, seq, 'x', kind, at, body, prev_hash, hash FROM bare"
            " WHERE seq = 3")  # fmt: skip
    execute("ALTER TABLE journal RENAME TO away")
    execute("ALTER TABLE bare RENAME TO journal")
    assert "writer 'a' seq 4" in str(log.verify())


def test_the_same_bytes_under_another_cut_are_a_break(
    log: journal.Journal, now: datetime, execute: Execute, current_url: str
) -> None:
    """The start of a body moved into the column of the time hashes alike, and is no number."""
    if not current_url.startswith("sqlite"):
        pytest.skip("PostgreSQL holds no text in a column of numbers")
    entry = log.record("k", {"a": 1, "body": {"b": 2}}, now=now)
    at = f'{schema.micros(entry.at)},"body":{{"a":1'
    execute("UPDATE journal SET at = :at, body = :body", at=at, body='{"b":2}}')
    assert "writer 'a' seq 1" in str(log.verify())


CHANGED = [
    "UPDATE journal SET body = REPLACE(body, '3', '7') WHERE writer = 'a' AND seq = 4",
    "UPDATE journal SET body = body || ' ' WHERE writer = 'a' AND seq = 4",
    "UPDATE journal SET kind = 'other' WHERE writer = 'a' AND seq = 4",
    "UPDATE journal SET id = 'other' WHERE writer = 'a' AND seq = 4",
    "UPDATE journal SET at = at + 1 WHERE writer = 'a' AND seq = 4",
    "UPDATE journal SET hash = prev_hash WHERE writer = 'a' AND seq = 4",
    "UPDATE journal SET prev_hash = hash WHERE writer = 'a' AND seq = 4",
    "UPDATE journal SET writer = 'b', seq = 99 WHERE writer = 'a' AND seq = 4",
    "DELETE FROM journal WHERE writer = 'a' AND seq = 4",
    # swapped with its neighbour
    "UPDATE journal SET seq = -4 WHERE writer = 'a' AND seq = 4;"
    "UPDATE journal SET seq = 4 WHERE writer = 'a' AND seq = 5;"
    "UPDATE journal SET seq = 5 WHERE writer = 'a' AND seq = -4",
    # one more inserted before it, a copy of what was there
    "UPDATE journal SET seq = -1 - seq WHERE writer = 'a' AND seq >= 4;"
    "UPDATE journal SET seq = -seq WHERE seq < 0;"
    "INSERT INTO journal SELECT writer, 4, 'new', kind, at, body, prev_hash, hash"
    " FROM journal WHERE writer = 'a' AND seq = 5",
]


@pytest.mark.parametrize("statements", CHANGED)
def test_a_change_behind_its_back_is_named_by_writer_and_seq(
    filled: journal.Journal, execute: Execute, statements: str
) -> None:
    _change(execute, statements)
    found = filled.verify()
    assert isinstance(found, chain.Break)
    assert (found.writer, found.seq) == ("a", 4)
    assert str(found).startswith(found.rule + ", got a break at writer 'a' seq 4")


@pytest.mark.parametrize("statements", [CHANGED[0], CHANGED[4]])
def test_without_comparing_the_hash_a_change_is_not_found(
    filled: journal.Journal,
    execute: Execute,
    statements: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chain, "_true_hash", lambda row: row.hash)
    _change(execute, statements)
    assert isinstance(filled.verify(), chain.Verified)


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("DELETE FROM journal WHERE writer = 'a' AND seq = 1", "writer 'a' seq 1"),
        ("DELETE FROM journal WHERE writer = 'b' AND seq = 2", "writer 'b' seq 2"),
        ("UPDATE journal SET writer = 'c' WHERE writer = 'a'", "writer 'c' seq 1"),
        ("UPDATE journal SET seq = seq + 10 WHERE writer = 'b'", "writer 'b' seq 1"),
    ],
)
def test_the_first_bad_place_is_named_wherever_it_is(
    filled: journal.Journal, execute: Execute, statement: str, place: str
) -> None:
    execute(statement)
    assert place in str(filled.verify())


def test_an_entry_hashed_anew_breaks_at_the_next_one(
    filled: journal.Journal, execute: Execute
) -> None:
    old = next(entry for entry in filled.entries() if entry.seq == 4 and entry.writer == "a")
    after = chain.Head(seq=3, hash=old.prev_hash)
    at = schema.micros(old.at)
    forged = chain.link("a", after, id=old.id, kind=old.kind, at=at, body='{"n":77}')
    where = "WHERE writer = 'a' AND seq = 4"
    execute(
        f"UPDATE journal SET body = :body, hash = :hash {where}", body=forged.body, hash=forged.hash
    )
    assert "writer 'a' seq 5" in str(filled.verify())


@pytest.mark.parametrize("current_url", ["sqlite"], indirect=True)  # PostgreSQL refuses them
@pytest.mark.parametrize("column", ["writer", "id", "kind", "body", "prev_hash", "hash", "at"])
def test_bytes_that_are_no_text_are_a_break_and_no_crash(
    filled: journal.Journal, execute: Execute, column: str
) -> None:
    execute(f"UPDATE journal SET {column} = CAST(x'ff' AS BLOB) WHERE writer = 'a' AND seq = 4")
    assert "writer 'a' seq 4" in str(filled.verify())


def test_processes_with_one_writer_name_extend_one_chain(
    current_url: str, log: journal.Journal, nurseries: list[Any]
) -> None:
    for nursery, prefix in zip(nurseries, "xy", strict=True):
        nursery.start("plain", current_url, prefix=prefix, count=40)
    said = [nursery.finish() for nursery in nurseries]
    assert [lines.pop() for lines in said] == ["exit 0", "exit 0"]
    assert {entry.id for entry in log.entries()} == {*said[0], *said[1]}
    assert [entry.writer for entry in log.entries()] == ["child"] * 320
    assert isinstance(log.verify(), chain.Verified)


class Slow(links.Links):
    """The links of a process that is slow between its look at a chain and its append."""

    def extend(self, rows: Any, after: Any) -> bool:
        time.sleep(0.02)
        return super().extend(rows, after)

    @contextmanager
    def held(self, writer: str) -> Any:
        with super().held(writer) as held:
            yield SlowHeld(held.writer, held.connection)


class SlowHeld(links.Held):
    def extend(self, rows: Any, after: Any) -> bool:
        time.sleep(0.02)
        return super().extend(rows, after)


class Unheld(Slow):
    """The mutant: looks at the chain as it is, and appends as if nobody else did. Somebody does."""

    @contextmanager
    def held(self, writer: str) -> Any:
        def state(ids: Any) -> Any:
            with self._database.connect() as connection:
                return links.Held(writer, connection).state(ids)

        def extend(rows: Any, after: Any) -> bool:
            until = time.monotonic() + 10
            while state([])[0] == after and time.monotonic() < until:
                time.sleep(0.005)
            return links.Links.extend(self, rows, after)

        yield SimpleNamespace(state=state, extend=extend)


@pytest.mark.parametrize(("kind", "lost"), [(Slow, 0), (Unheld, 1)])
def test_a_slow_process_does_not_starve_beside_a_fast_one(
    db: database.Database, log: journal.Journal, now: datetime, kind: type[links.Links], lost: int
) -> None:
    done = threading.Event()
    with closing(journal.Journal(db, "a", wait_ms=1)) as slow:
        slow._links = kind(db)
        log.record("k", {}, now=now)
        rival = threading.Thread(target=_append_until, args=(done, log, now))
        rival.start()
        error = slow.append("k", {"slow": True}, now=now).exception()
        done.set()
        rival.join()
    assert isinstance(error, journal.JournalBroken) if lost else error is None
    assert isinstance(log.verify(), chain.Verified)


def _append_until(done: threading.Event, log: journal.Journal, now: datetime) -> None:
    while not done.is_set():
        log.record("k", {}, now=now)


@pytest.fixture
def filled(db: database.Database, log: journal.Journal, now: datetime) -> journal.Journal:
    """A journal with eight entries of "a" and four of "b"."""
    with closing(journal.Journal(db, "b", wait_ms=1)) as other:
        futures = [log.append("k", {"n": n}, now=now) for n in range(8)]
        futures += [other.append("k", {"n": n}, now=now) for n in range(4)]
        wait(futures)
    return log


def _change(execute: Execute, statements: str) -> None:
    for statement in statements.split(";"):
        execute(statement)
