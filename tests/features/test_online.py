"""The online store: what it holds, how it keeps up with the log, and what its readers see."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from cluster.settings import Settings
from cluster.workspace import Workspace
from features import fingerprint, log, online
from features.online import build, follower, ids, keys, payload, recent, tail
from features.online.base import KEYS as KEY_INDEX
from features.online.base import REF, Base
from features.online.history import History, Part, has_text
from features.online.look import Look, Looks
from features.online.recent import Homes, Recent
from features.online.store import _Opened
from features.online.stored import Batch, Stored

type Make = Callable[..., pa.Table]

ROOT = Path(online.__file__).parents[2]
FEW = 50  # of the tests: more events make a base
CELL = st.none() | st.text(st.characters(codec="utf-8"), max_size=5)
NUMBER = st.none() | st.integers(-(2**63), 2**63 - 1)


@pytest.fixture
def small(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return a workspace whose tail is short, with an empty log."""
    monkeypatch.setattr(follower, "FEW", FEW)
    monkeypatch.setattr(follower, "TAIL_MOST", 2 * FEW)
    monkeypatch.setattr(build, "BATCH_ROWS", 20)
    log.create(workspace.tables, workspace.settings.buckets)
    return workspace


def _events(make: Make, first: int, count: int) -> pa.Table:
    rows = [
        {"at": n % 30, "account": f"a-{n % 9}", "lead": f"lead-{n % 20}", "row_key": f"row-{n}"}
        for n in range(first, first + count)
    ]
    return make(*rows)


def _append(workspace: Workspace, make: Make, first: int, count: int) -> None:
    workspace.tables.append(log.TABLE, _events(make, first, count))


def _seen(store: online.OnlineStore) -> list[str]:
    return sorted(key for n in range(9) for key in store.events(f"a-{n}")["row_key"].to_pylist())


def _row_keys(count: int) -> list[str]:
    return sorted(f"row-{n}" for n in range(count))


def _epoch(workspace: Workspace) -> int:
    ref = workspace.refs.get(REF)
    return ref.epoch if ref else 0


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(*[CELL] * 7, NUMBER, NUMBER), max_size=20))
def test_packed_events_are_unpacked_as_they_were(rows: list[tuple[Any, ...]]) -> None:
    """Any texts and numbers, absent or empty."""
    names = ("account", "lead", "text", "row_key", "shard", "product", "rep")
    table = pa.table(
        {
            **{f.name: pa.nulls(len(rows), f.type) for f in log.SCHEMA},
            **{n: pa.array([row[i] for row in rows], pa.string()) for i, n in enumerate(names)},
            "number": pa.array([row[7] for row in rows], pa.int64()),
            "known_at": pa.array([row[8] for row in rows], pa.int64()).cast(log.MICROSECONDS),
            "event_id": pa.array([bytes([i] * 16) for i in range(len(rows))], pa.binary(16)),
        }
    )
    table = pa.table([table[name] for name in log.SCHEMA.names], schema=log.SCHEMA)
    assert payload.unpack(payload.pack(table)).equals(table)
    _require_same(payload.Unpacked(payload.pack(table)), table)


def _require_same(part: Part, expected: pa.Table) -> None:
    """Every column of a part, by whichever way it is read, is that of the table."""
    assert part.count == expected.num_rows
    for name in set(expected.column_names) - {"shard", "event_id"}:
        wanted = expected[name]
        is_there = part.is_there(name)
        assert is_there.tolist() == wanted.is_valid().to_pylist()
        if pa.types.is_string(wanted.type):
            codes = part.codes(name)
            assert codes.dtype == np.int32
            assert ((codes >= 0) == is_there).all()
            found = part.texts(name).take(pa.array(codes, mask=codes < 0)).to_pylist()
            assert found == wanted.to_pylist()
        else:
            numbers = part.numbers(name)
            assert numbers.dtype == np.int64
            assert numbers[is_there].tolist() == wanted.drop_null().cast(pa.int64()).to_pylist()
    for mine, theirs in zip(part.halves(), log.halves(expected["event_id"]), strict=True):
        assert mine.tolist() == theirs.tolist()


@pytest.mark.parametrize("harm", ["other format", "cut in the head", "cut in a text", "too long"])
def test_bytes_of_another_format_are_refused(make_events: Make, harm: str) -> None:
    """They are not read as if they were ours."""
    [data] = payload.pack(make_events({"at": 1}))
    harmed = {
        "other format": b"\x02" + data[1:],
        "cut in the head": data[:50],
        "cut in a text": data[:-1],
        "too long": data + b"x",
    }
    with pytest.raises(payload.UnknownFormat):
        payload.unpack([data, harmed[harm]])


@pytest.mark.parametrize("count", [FEW, FEW + 1, 400])
def test_the_store_holds_the_log_in_tail_or_base(
    small: Workspace, make_events: Make, count: int
) -> None:
    """Few events or many: each shard reads as in the log, all columns of it."""
    _append(small, make_events, 0, count)
    online.follow(small)
    store = online.OnlineStore(small)
    assert (store.base() is not None) == (count > FEW)
    whole = small.tables.read(log.TABLE).sort_by("event_id")
    for shard in ("a-0", "a-5"):
        mine = whole.filter(pa.array([name == shard for name in whole["shard"].to_pylist()]))
        assert store.events(shard).sort_by("event_id").to_pylist() == mine.to_pylist()
        assert store.events(shard).schema.equals(log.SCHEMA)
    assert store.events("nobody").num_rows == 0


def test_a_history_says_what_its_table_says(
    small: Workspace, random_events: Callable[[int, int], pa.Table]
) -> None:
    """Part by part: of the base, with absent cells and wherever a shard begins, and of the tail."""
    events = random_events(3, 320)
    for part in (events.slice(0, 280), events.slice(280)):
        small.tables.append(log.TABLE, part)
        online.follow(small)
    store, kinds = online.OnlineStore(small), set()
    for n in range(4):
        history = store.history(f"account-{n}")
        assert history.count == store.events(f"account-{n}").num_rows
        for part in history.parts:
            _require_same(part, part.table())
            kinds.add(type(part).__name__)
    assert kinds == {"Stored", "Unpacked"}
    assert store.history("nobody").parts == ()


@pytest.mark.parametrize("count", [20, 200])
def test_a_text_is_found_byte_by_byte(small: Workspace, make_events: Make, count: int) -> None:
    """Whether a column is numbered or not, in tail and base; a prefix or an absence is not it."""
    texts = ["ä", "äh", "", None, "b"]
    rows = [
        {"at": n % 30, "account": "a-0", "text": texts[n % 5], "lead": f"lead-{n}"}
        for n in range(count)
    ]
    small.tables.append(log.TABLE, make_events(*rows))
    online.follow(small)
    [part] = online.OnlineStore(small).history("a-0").parts
    whole = part.table()
    cells = [("text", "ä"), ("text", ""), ("text", "c"), ("lead", "lead-7"), ("product", "p")]
    for name, text in cells:
        expected = [cell == text for cell in whole[name].to_pylist()]
        assert has_text(part, name, text).tolist() == expected


def test_what_a_base_holds_leaves_the_tail(small: Workspace, make_events: Make) -> None:
    """Events and keys; what came after stays."""
    _append(small, make_events, 0, 30)
    online.follow(small)
    assert tail.count(small.database) == 30
    _append(small, make_events, 30, 200)
    online.follow(small)
    assert (tail.count(small.database), tail.pairs(small.database).num_rows) == (0, 0)
    _append(small, make_events, 230, 5)
    online.follow(small)
    assert tail.count(small.database) == 5
    assert _seen(online.OnlineStore(small)) == _row_keys(235)


def test_the_newest_event_is_found_in_base_and_tail(small: Workspace, make_events: Make) -> None:
    """By when it was known; nothing where nothing is."""
    store = online.OnlineStore(small)
    assert store.newest() is None
    for first, count in ((0, 200), (200, 5)):
        _append(small, make_events, first, count)
        online.follow(small)
        known = small.tables.read(log.TABLE)["known_at"].to_pylist()
        assert store.newest() == max(known)
    assert tail.count(small.database) == 5
    base = store.base()
    assert base is not None
    assert base.newest is not None


def test_a_full_tail_makes_a_base(small: Workspace, make_events: Make) -> None:
    """Many small ingestions are in the end one base."""
    for n in range(5):
        _append(small, make_events, 30 * n, 30)
        online.follow(small)
        assert tail.count(small.database) <= 2 * FEW
    assert _epoch(small) == 1
    assert _seen(online.OnlineStore(small)) == _row_keys(150)


@pytest.mark.parametrize("known", [0, FEW])
def test_an_entity_is_found_in_base_and_tail(
    small: Workspace, make_events: Make, known: int
) -> None:
    """By kind and key; one never seen is nowhere."""
    for n in range(2):
        rows = [{"at": 1, "account": f"a-{n}-{k}", "lead": f"l-{n}-{k}"} for k in range(known + 1)]
        small.tables.append(log.TABLE, make_events(*rows))
        online.follow(small)
    store = online.OnlineStore(small)
    assert [store.shard_of("lead", f"l-{n}-0") for n in range(2)] == ["a-0-0", "a-1-0"]
    assert store.shard_of("account", "a-1-0") == "a-1-0"
    assert store.shard_of("account", "l-0-0") is None


@pytest.mark.parametrize("corrected", [False, True])
def test_an_entity_of_two_shards_lives_where_its_first_standing_event_is(
    small: Workspace, make_events: Make, corrected: bool
) -> None:
    """A corrected row no longer stands; another later event does not move the lead."""
    first = {"at": 1, "account": "old", "lead": "l", "row_key": "first"}
    later = {"at": 1, "known": 2, "account": "new", "lead": "l"}
    row_key = "first" if corrected else "second"
    small.tables.append(log.TABLE, make_events(first, {**later, "at": 1 + 0.1, "row_key": row_key}))
    online.follow(small)
    expected = "new" if corrected else "old"
    assert online.OnlineStore(small).shard_of("lead", "l") == expected


def test_a_base_of_events_without_entities_is_read(small: Workspace, make_events: Make) -> None:
    """Its index of keys is empty."""
    small.tables.append(
        log.TABLE, make_events(*({"at": n % 30, "account": None, "rep": "r"} for n in range(200)))
    )
    online.follow(small)
    store = online.OnlineStore(small)
    assert store.base() is not None
    assert store.shard_of("account", "r") is None
    assert store.events("r").num_rows == 200


@settings(deadline=None)
@given(*[st.lists(st.tuples(*[st.integers(0, 3)] * 2), max_size=30)] * 2)
def test_ids_are_found_among_others(
    these: list[tuple[int, int]], wanted: list[tuple[int, int]]
) -> None:
    """Equal halves and repeats or not; a slice is read from where it begins."""
    arrays = [
        pa.array([bytes(15) + b"x", *(_id(*pair) for pair in pairs)], pa.binary(16)).slice(1)
        for pairs in (these, wanted)
    ]
    found = ids.among(*map(ids.pairs, arrays))
    assert found.tolist() == [pair in these for pair in wanted]


def _id(row: int, content: int) -> bytes:
    return row.to_bytes(8) + content.to_bytes(8)


def test_two_keys_of_one_fingerprint_are_told_apart(
    small: Workspace, make_events: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index of which all fingerprints are equal still finds each key."""
    monkeypatch.setattr(fingerprint, "of_cells", lambda cells: np.zeros(len(cells), np.uint64))
    monkeypatch.setattr("features.online.base._mark", lambda text: np.uint64(0))
    _append(small, make_events, 0, 200)
    online.follow(small)
    store = online.OnlineStore(small)
    assert _seen(store) == _row_keys(200)
    assert [store.shard_of("account", f"a-{n}") for n in range(9)] == [f"a-{n}" for n in range(9)]
    assert store.shard_of("lead", "a-1") is None


def test_the_same_log_makes_the_same_base(small: Workspace, make_events: Make) -> None:
    """However its rows are spread over files: files of replaced bases are never needed again."""
    _append(small, make_events, 0, 100)
    _append(small, make_events, 100, 100)
    first = build.build(small, log.pinned(small.tables))
    rows = small.tables.read(log.TABLE).take(pa.array(np.random.default_rng(1).permutation(200)))
    small.tables.replace(log.TABLE, rows)
    second = build.build(small, log.pinned(small.tables))
    assert first.blobs == second.blobs


def test_files_of_a_replaced_base_are_deleted(small: Workspace, make_events: Make) -> None:
    """Only the newest base takes up room; a reader of the old one goes on."""
    _append(small, make_events, 0, 100)
    online.follow(small)
    store = online.OnlineStore(small)
    old = store.base()
    assert old is not None
    _append(small, make_events, 100, 100)
    online.follow(small)
    assert not any(small.blobs.has(name) for name in old.manifest.blobs)
    part = old.part("a-1")
    assert part is not None
    assert part.table().num_rows > 0
    assert _seen(store) == _row_keys(200)


@pytest.mark.parametrize("is_mutant", [False, True])
def test_what_was_made_of_a_replaced_base_goes_with_it(
    small: Workspace, make_events: Make, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """Of each of eight bases one account is asked for. The mutant keeps what it made from base to
    base: all of them stay mapped, and it says what was true of the first.
    """
    monkeypatch.setattr(follower, "FEW", 0)
    if is_mutant:
        _keep_from_base_to_base(monkeypatch, Recent(), lambda: None)
    store, mapped = online.OnlineStore(small), weakref.WeakSet[Batch]()
    for n in range(8):
        names = ("all", f"only {n}")
        small.tables.append(log.TABLE, make_events(*({"at": n, "account": a} for a in names)))
        online.follow(small)
        counts = [_asked(store, name) for name in (*names, *names)]
        assert (counts == [n + 1, 1] * 2) != (is_mutant and n > 0)
        mapped.add(_mapped(_base(store), names[1]))
    assert _epoch(small) == 8
    assert len(mapped) == (8 if is_mutant else 1)


@pytest.mark.parametrize("is_mutant", [False, True])
def test_what_a_slow_reader_makes_of_a_replaced_base_goes_with_it(
    small: Workspace, make_events: Make, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """Another base is opened while it reads. The mutant has one place for what was made of any
    base, and clears it for each base that is opened: before the reader is done.
    """
    monkeypatch.setattr(follower, "FEW", 0)
    if is_mutant:
        kept = Recent()
        _keep_from_base_to_base(monkeypatch, kept, kept._kept.clear)
    _append(small, make_events, 0, 10)
    online.follow(small)
    store, part = online.OnlineStore(small), Base.part
    old = weakref.ref(_mapped(_base(store), "a-0"))

    def slow(base: Base, shard: str) -> Stored | None:
        monkeypatch.setattr(Base, "part", part)
        _append(small, make_events, 10, 10)
        online.follow(small)
        assert _base(store) is not base
        return part(base, shard)

    monkeypatch.setattr(Base, "part", slow)
    assert _asked(store, "a-0") == 2
    assert (old() is not None) == is_mutant


def _keep_from_base_to_base(
    monkeypatch: pytest.MonkeyPatch, kept: Recent, opens: Callable[[], None]
) -> None:
    homes = Homes()

    def opened(**given: Any) -> _Opened:
        opens()
        return _Opened(recent=kept, homes=homes, **given)

    monkeypatch.setattr("features.online.store._Opened", opened)


def _asked(store: online.OnlineStore, account: str) -> int:
    found = store.of_entity("account", account)
    return found[1].count if found else 0


def _base(store: online.OnlineStore) -> Base:
    base = store.base()
    assert base is not None
    return base


def _mapped(base: Base, shard: str) -> Batch:
    part = base.part(shard)
    assert part is not None
    return part.batch


@pytest.mark.parametrize("is_mutant", [False, True])
def test_histories_of_few_events_are_bounded_too(
    make_events: Make, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """Each weighs more than its events; those asked for last stay. The mutant counts events alone,
    so of histories without any it keeps all.
    """
    if is_mutant:
        monkeypatch.setattr(recent, "OPENED", 0)
    empty, of_one = History(parts=()), History(parts=(payload.Unpacked(_packed(make_events)),))
    for history, own in ((empty, 0), (of_one, 1)):
        kept = Recent(most=10 * (64 + own))
        for n in range(100):
            kept.put(f"a-{n}", [], history)
            kept.put(f"a-{n}", [], history)  # made by two at once
            kept.get("a-0", [])
        found = [n for n in range(100) if kept.get(f"a-{n}", [])]
        assert (found == [0, *range(91, 100)]) != is_mutant


def _packed(make_events: Make) -> list[bytes]:
    return payload.pack(make_events({"at": 1}))


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_damaged_base_is_found_and_written_anew(
    small: Workspace, make_events: Make, harm: str
) -> None:
    """The check reads every byte; nothing is done to a base that is whole."""
    _append(small, make_events, 0, 100)
    online.follow(small)
    base = online.OnlineStore(small).base()
    assert base is not None
    path = small.blobs.path_of(base.manifest.files[0])
    assert online.heal(small) == 0
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b"row-", b"cow-"))
    assert [online.heal(small), online.heal(small)] == [1, 0]
    assert _seen(online.OnlineStore(small)) == _row_keys(100)


STEPS = ("fill", "put", "LOG_REF", "BASE_REF", "drop", "forget")


@pytest.mark.parametrize("step", STEPS)
def test_a_call_that_dies_is_completed_by_the_next(
    small: Workspace, make_events: Make, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Died before any step: readers see all that the refs cover, and then all of the log."""
    _append(small, make_events, 0, 100)
    online.follow(small)
    for first, count in ((100, 30), (130, 100)):
        _append(small, make_events, first, count)
        with monkeypatch.context() as patch:
            _break(patch, step)
            _follow_and_die(small)
        seen = _seen(online.OnlineStore(small))
        assert set(_row_keys(first)) <= set(seen)
        assert len(seen) == len(set(seen))
        online.follow(small)
        assert _seen(online.OnlineStore(small)) == _row_keys(first + count)


def _break(patch: pytest.MonkeyPatch, step: str) -> None:
    if step.endswith("_REF"):
        move = follower._move

        def dying(workspace: Workspace, name: str, *given: Any) -> bool:
            return _die() if name == getattr(follower, step) else move(workspace, name, *given)

        patch.setattr(follower, "_move", dying)
    elif step == "put":
        patch.setattr(build, "_put", _die)
    else:
        places = {"fill": "tail.fill", "drop": "drop_held", "forget": "_forget"}
        patch.setattr(f"features.online.follower.{places[step]}", _die)


def _die(*given: object) -> bool:
    raise KeyboardInterrupt


def _follow_and_die(workspace: Workspace) -> None:
    try:
        online.follow(workspace)
    except KeyboardInterrupt:
        return


def test_deleting_from_the_tail_before_the_ref_has_moved_loses_events(
    small: Workspace, make_events: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the order of steps turned round, and a death between them."""
    _append(small, make_events, 0, 30)
    online.follow(small)
    _append(small, make_events, 30, 100)
    base = Base(build.build(small, log.pinned(small.tables)), small.blobs)
    follower.drop_held(small, base)
    assert len(_seen(online.OnlineStore(small))) < 30


def test_a_reader_never_misses_an_event_while_bases_change(
    small: Workspace, make_events: Make
) -> None:
    """One store reads on while others append and follow: what it saw once it sees for ever."""
    store, done, counts = online.OnlineStore(small), threading.Event(), [0]

    def read() -> None:
        while not done.is_set():
            counts.append(len(_seen(store)))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for n in range(8):
            _append(small, make_events, 40 * n, 40)
            online.follow(small)
        done.set()
        reading.result()
    assert counts == sorted(counts)
    assert _epoch(small) >= 2


def test_a_reader_that_does_not_look_at_the_ref_misses_events(
    small: Workspace, make_events: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: an old base with a tail from which events have gone."""
    _append(small, make_events, 0, 60)
    online.follow(small)
    store = online.OnlineStore(small)
    _append(small, make_events, 60, 30)
    online.follow(small)
    assert len(_seen(store)) == 90
    monkeypatch.setattr(Looks, "_look", _at_epoch(1))
    _append(small, make_events, 90, 100)
    online.follow(small)
    assert len(_seen(store)) < 90


def _at_epoch(epoch: int) -> Callable[..., Look[Any]]:
    look = Looks._look

    def old(self: Looks, *given: Any) -> Look[Any]:
        return Look(epoch=epoch, target="", found=look(self, *given).found)

    return old


@pytest.mark.parametrize("at_once", [True, False])
def test_tail_and_ref_are_read_at_one_moment(
    small: Workspace, make_events: Make, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """A base is put in place within the lookup. The mutant asks for the ref, and then for the
    tail: what left it between the two is nowhere.
    """
    _append(small, make_events, 0, 30)
    online.follow(small)
    _append(small, make_events, 30, 200)
    fetched = Looks._fetched

    def interrupted(self: Looks, *given: Any) -> list[Any]:
        rows = fetched(self, *given)
        online.follow(small)
        late = rows if at_once else fetched(self, *given)
        return [row for row in rows if row[0] is not None] + [row for row in late if row[2]]

    monkeypatch.setattr(Looks, "_fetched", interrupted)
    found = online.OnlineStore(small).events("a-0")["row_key"].to_pylist()
    assert ({"row-0", "row-9", "row-18", "row-27"} <= set(found)) == at_once


def test_an_event_is_counted_once_while_base_and_tail_hold_it(
    small: Workspace, make_events: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leaves the tail late is not doubled; the mutant takes the whole tail."""
    _append(small, make_events, 0, 30)
    online.follow(small)
    _append(small, make_events, 30, 100)
    with monkeypatch.context() as patch:
        patch.setattr(follower, "drop_held", _die)
        _follow_and_die(small)
    tail.fill(small.database, _events(make_events, 130, 10))
    store = online.OnlineStore(small)
    assert tail.count(small.database) == 40
    assert _seen(store) == _row_keys(140)
    monkeypatch.setattr("features.online.store._late", lambda _, packed: payload.Unpacked(packed))
    assert len(_seen(online.OnlineStore(small))) == 170


POST = """
import sys
from pathlib import Path
from cluster.settings import Settings
from cluster.workspace import Workspace
from features.online import payload, tail

with Workspace.open(Settings(home=Path(sys.argv[1]))) as mine:
    tail.fill(mine.database, payload.unpack([bytes.fromhex(text) for text in sys.argv[2:]]))
"""


def test_what_another_process_committed_is_in_the_next_lookup(
    small: Workspace, make_events: Make
) -> None:
    """In a shard that was looked up before, and in one that was not there; the mutant remembers
    its looks.
    """
    _append(small, make_events, 0, 200)
    online.follow(small)
    store, mutant = online.OnlineStore(small), online.OnlineStore(small)
    for name in ("events", "shards"):
        setattr(mutant._looks, name, functools.cache(getattr(mutant._looks, name)))
    before = _counts(store)
    assert before == _counts(mutant) == (23, 0, None)
    late = [{"at": 31, "account": name, "lead": "new"} for name in ("a-0", "a-new")]
    given = [data.hex() for data in payload.pack(make_events(*late))]
    home = str(small.settings.home)
    subprocess.run([sys.executable, "-c", POST, home, *given], cwd=ROOT, check=True)
    assert _counts(store) == (24, 1, "a-0")
    assert _counts(mutant) == before


def _counts(store: online.OnlineStore) -> tuple[int, int, str | None]:
    old, new = (store.events(shard).num_rows for shard in ("a-0", "a-new"))
    return old, new, store.shard_of("lead", "new")


@pytest.fixture(params=["sqlite", "postgresql"])
def either(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    """Return a workspace on either database, with an empty log."""
    more: dict[str, Any] = {}
    if request.param == "postgresql":
        more["database_url"] = SecretStr(request.getfixturevalue("postgresql_url"))
    monkeypatch.setattr(follower, "FEW", FEW)
    with Workspace.open(Settings(home=tmp_path / "either", buckets=4, **more)) as opened:
        log.create(opened.tables, opened.settings.buckets)
        yield opened


def test_one_look_tells_of_several(
    either: Workspace, make_events: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the same among them, one that nobody knows, one with news, and another base."""
    _append(either, make_events, 0, 200)
    online.follow(either)
    store, names = online.OnlineStore(either), [*(f"a-{n}" for n in range(9)), "a-3", "nobody"]
    alone = {name: _asked(store, name) for name in names}
    fetched, count = store._looks._fetched, itertools.count()

    def counted(*given: Any) -> Any:
        next(count)
        return fetched(*given)

    monkeypatch.setattr(store._looks, "_fetched", counted)

    def together(*who: str) -> dict[str, int]:
        look = store.glance([("account", name) for name in who])
        found = {name: look.of("account", name) for name in who}
        return {name: 0 if each is None else each[1].count for name, each in found.items()}

    assert together(*names[:-1]) == {n: alone[n] for n in names[:-1]}
    assert next(count) == 1  # one look for all ten
    assert together(*names) == alone
    late = make_events({"at": 31, "account": "a-1"}, {"at": 32, "account": "a-1"})
    either.tables.append(log.TABLE, late)
    online.follow(either)
    assert together(*names) == {**alone, "a-1": alone["a-1"] + 2}
    monkeypatch.setattr(follower, "FEW", 0)
    either.tables.append(log.TABLE, make_events({"at": 33, "account": "a-2"}))
    online.follow(either)
    assert together(*names) == {**alone, "a-1": alone["a-1"] + 2, "a-2": alone["a-2"] + 1}


def test_callers_at_once_leave_every_event_once(small: Workspace, make_events: Make) -> None:
    """Four followers and four writers."""

    def work(n: int) -> None:
        with Workspace.open(small.settings) as mine:
            mine.tables.commit(log.TABLE, mine.tables.write(log.TABLE, parts[n]))
            online.follow(mine)

    parts = [_events(make_events, 60 * n, 60) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    online.follow(small)
    assert _seen(online.OnlineStore(small)) == _row_keys(240)


def test_a_rewrite_of_files_needs_no_work(small: Workspace, make_events: Make) -> None:
    """The commit says that the rows are the same, even if nobody told the store."""
    _append(small, make_events, 0, 100)
    online.follow(small)
    head = log.pinned(small.tables)
    files = small.tables.files(log.TABLE, head)
    new = small.tables.write(log.TABLE, small.tables.read(log.TABLE))
    said = {online.SAME_ROWS: str(head)}
    small.tables.commit_after(log.TABLE, new, head=head, replacing=files, properties=said)
    online.follow(small)
    assert (_epoch(small), tail.count(small.database)) == (1, 0)


def test_distinct_pairs_of_entity_and_shard() -> None:
    """Absent keys name nobody; the same pair in many rows is one."""
    column = pa.array(["x", "x", None, "y", "x"])
    names, shards = keys.distinct("lead", column, np.array([0, 0, 1, 1, 2]))
    pairs = sorted(zip(names.to_pylist(), shards.tolist(), strict=True))
    assert pairs == [("lead:x", 0), ("lead:x", 2), ("lead:y", 1)]
    assert KEY_INDEX.names == ["fingerprint", "key", "place"]
