"""One entity at one moment, from the parts of a history, against the batch: the same bits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features import compute, log, online, spine
from features.compute import gathered, seen, single
from features.compute.program import compiled
from features.online import build, entity, follower
from features.online.history import History
from features.online.payload import Unpacked, pack
from features.online.stored import Batch, Stored
from features.targets import Named, Target
from features.views import aggregates as a
from features.views.language import Events, Where
from tests.features.test_compute_oracle import AT, DAY, QUICK, VIEW, _some_logs, _spine, logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.workspace import Workspace
    from features.compute.seen import Facts
    from features.online.history import Part
    from features.views.language import View

ANCHOR = Events(kind="touch", names=("web_visit",))
TARGET = Target(
    name="test",
    description="",
    entity="lead",
    anchor=Named(kind="touch", names=("web_visit",)),
    horizon_days=1,
    label=Named(kind="lead"),
    views=("lead_engagement",),
)
FEW = hypothesis_settings(QUICK, max_examples=25)
CUTS = st.tuples(st.integers(0, 24), st.integers(0, 24), st.integers(0, 3))


def _stored(events: pa.Table, before: int) -> Stored:
    """Return events that lie in a batch behind others, their texts numbered but for one column."""
    whole = pa.concat_tables([*[events] * 2, events]) if before else events
    columns = [
        column.combine_chunks().dictionary_encode()
        if pa.types.is_string(column.type) and name != "text"
        else column.combine_chunks()
        for name, column in zip(whole.column_names, whole.columns, strict=True)
    ]
    rows = pa.RecordBatch.from_arrays(columns, whole.column_names)
    start = before * events.num_rows if before < 3 else 0
    return Stored(batch=Batch(rows), shard="a", start=start, count=events.num_rows)


def _parts(events: pa.Table, cuts: tuple[int, int, int]) -> tuple[Part, ...]:
    """Return base, tail and request, some of them perhaps not there."""
    one, two = sorted(min(cut, events.num_rows) for cut in cuts[:2])
    base, tail = events.slice(0, one), events.slice(one, two - one)
    stored = [_stored(base, cuts[2])] if one else []
    unpacked = [Unpacked(pack(tail))] if two > one else []
    return entity.joined(History(parts=(*stored, *unpacked)), "a", events.slice(two)).parts


def mismatches(
    view: View, events: pa.Table, parts: tuple[Part, ...], rows: pa.Table | None = None
) -> list[str]:
    """Return what differs between one row at a time and the batch."""
    want = compute.compute(view, events, _spine() if rows is None else rows)
    program, found = compiled(view), []
    for number in range(want.num_rows):
        row = want.slice(number, 1)
        given_row = row.select(spine.SCORING.names)
        [keys] = given_row.drop_columns("time").to_pylist()
        made = single.row(program, parts, keys, log.microseconds(row["time"])[0])
        got = single.table(view, given_row, [made])
        found += [f"{f}: {got[f.name]} is not {row[f.name]}" for f in view.features
                  if not got[f.name].equals(row[f.name])]  # fmt: skip
        found += [] if got.schema.equals(row.schema) else [str(got.schema)]
    return found


@FEW
@given(logs(), CUTS)
def test_one_row_is_that_of_the_batch(events: pa.Table, cuts: tuple[int, int, int]) -> None:
    """Short form."""
    assert mismatches(VIEW, events, _parts(events, cuts)) == []


@pytest.mark.drill
@hypothesis_settings(QUICK, max_examples=10_000)
@given(logs(), CUTS)
def test_one_row_is_that_of_the_batch_ten_thousand_times(
    events: pa.Table, cuts: tuple[int, int, int]
) -> None:
    """Long form."""
    assert mismatches(VIEW, events, _parts(events, cuts)) == []


@FEW
@given(logs(), CUTS, st.sampled_from((0, 1, 3 * DAY)))
def test_an_entity_is_there_with_its_anchor(
    events: pa.Table, cuts: tuple[int, int, int], after: int
) -> None:
    """Which row there is, with which account, is what the spine says."""
    program, at = compiled(VIEW, ANCHOR), entity.EPOCH + timedelta(microseconds=AT + after)
    history = History(parts=_parts(events, cuts))
    for lead in ("lead-0", "lead-1", "lead-3"):
        rows = spine.chosen(TARGET, events, [lead], at)
        found = entity.table(program, entity.row(program, history, lead, at))
        assert found.equals(compute.compute(VIEW, events, rows))


def _in_parts(seed: int) -> tuple[pa.Table, tuple[Part, ...]]:
    """Return a log in which every rule matters, and its three parts."""
    events = _some_logs()[seed]
    return events, _parts(events, (events.num_rows // 3, 2 * events.num_rows // 3, 1))


def _found() -> list[str]:
    return [each for seed in range(3) for each in mismatches(VIEW, *_in_parts(seed))]


def test_random_logs_show_no_mismatch() -> None:
    """What the mutants are held against; the order of the parts cannot be seen."""
    assert _found() == []
    events, parts = _in_parts(0)
    assert len(parts) == 3
    assert mismatches(VIEW, events, parts[::-1]) == []


def _of_facts(change: Callable[[Facts], Facts]) -> Callable[[pytest.MonkeyPatch], None]:
    """Let the choice of events be made of other facts."""
    original = seen.choices
    return lambda p: p.setattr(
        seen, "choices", lambda facts, tables, at: original(change(facts), tables, at)
    )


def _whole(facts: Facts, row: int, by: int) -> Facts:
    whole = facts.whole.copy()
    whole[row] += by
    return facts._replace(whole=whole)


def _no_versions(facts: Facts) -> Facts:
    halves = facts.halves.copy()
    halves[0] = np.arange(halves.shape[1])
    return facts._replace(halves=halves)


def _without_last(p: pytest.MonkeyPatch) -> None:
    original = gathered.Gathered.__init__
    p.setattr(
        gathered.Gathered,
        "__init__",
        lambda self, program, parts: original(self, program, parts[:-1]),
    )


def _codes_as_they_are(self: Any, column: str) -> np.ndarray:
    return np.concatenate([part.codes(column) % part.count for part in self._parts])


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a part left out": _without_last,
    "codes of parts taken as comparable": lambda p: p.setattr(
        gathered.Gathered, "_numbered", _codes_as_they_are
    ),
    "at T itself": _of_facts(lambda facts: _whole(facts, seen.TIMES, -1)),
    "before it is known": _of_facts(lambda facts: _whole(facts, seen.KNOWN, -DAY)),
    "corrected all the same": _of_facts(_no_versions),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_rule_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule, broken."""
    MUTANTS[mutant](monkeypatch)
    assert _found()


def _view(*features: a.Feature) -> View:
    return replace(VIEW, features=features)


def test_more_choices_than_a_word_has_bits() -> None:
    """Masks of several words."""
    made = [
        a.Count(
            name=f"f{n}-{m}",
            label="",
            events=Events(
                kind="touch",
                where=(Where(column="number", at_least=n, below=m),),
                of="account" if m % 2 else "",
            ),
        )
        for n in range(-3, 12)
        for m in range(n, 12)
    ]
    view = _view(*made, *VIEW.features[:5])
    assert compiled(view).tables.streams.shape[1] > 1
    assert mismatches(view, *_in_parts(1)) == []


EDGES = [(-(2**70), None), (None, 2**70), (2**63, None), (None, -(2**63)), (2**63 - 1, 2**63),
         (-(2**63), -(2**63) + 1), (5, 5)]  # fmt: skip


def test_ranges_may_lie_beyond_the_numbers_there_are() -> None:
    """Whatever is asked for, and whatever number an event has."""
    ranges = [Where(column="number", at_least=low, below=high) for low, high in EDGES]
    view = _view(*(
        a.Count(name=f"edge{n}", label="", events=Events(kind="touch", where=(where,)))
        for n, where in enumerate(ranges)
    ), *VIEW.features[:8])  # fmt: skip
    events, _ = _in_parts(2)
    numbers = np.resize(np.array([-(2**63), 2**63 - 1, 5, 0]), events.num_rows)
    place = events.column_names.index("number")
    events = events.set_column(place, "number", pa.array(numbers))
    assert mismatches(view, events, _parts(events, (20, 40, 2))) == []


def test_an_entity_without_history_has_the_values_of_none() -> None:
    """No part at all."""
    assert mismatches(VIEW, log.SCHEMA.empty_table(), ()) == []
    program = compiled(VIEW, ANCHOR)
    assert single.anchored(program, gathered.Gathered(program, ()), "lead-0", AT) is None


def test_a_history_of_the_store_makes_the_same_row(
    workspace: Workspace,
    random_events: Callable[[int, int], pa.Table],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In base and tail, with the events of a request or without."""
    monkeypatch.setattr(follower, "FEW", 50)
    monkeypatch.setattr(build, "BATCH_ROWS", 20)
    log.create(workspace.tables, workspace.settings.buckets)
    events = random_events(3, 330)
    for part in (events.slice(0, 280), events.slice(280, 40)):
        workspace.tables.append(log.TABLE, part)
        online.follow(workspace)
    store, program = online.OnlineStore(workspace), compiled(VIEW, ANCHOR)
    at = datetime(2023, 12, 20, tzinfo=UTC)
    found = 0
    for number in range(12):
        shard, lead = f"account-{number % 4}", f"lead-{number}"
        for history in (
            store.history(shard),
            entity.joined(store.history(shard), shard, events.slice(320)),
        ):
            row = entity.table(program, entity.row(program, history, lead, at))
            rows = spine.chosen(TARGET, history.table(), [lead], at)
            assert row.equals(compute.compute(VIEW, history.table(), rows))
            found += row.num_rows
    assert found > 12
