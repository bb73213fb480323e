"""A view over slices of time: the same bits as over all events at once, whatever the slices."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.rowgroups import Span, filtered
from cluster.settings import CONFIGS, ROOT
from features import compute, content, ingest, log, slicing, step
from features.compute import fading, folds
from features.compute.carried import Carried, Walk
from features.compute.slices import compute_slices
from features.contracts import load_contracts
from features.known import KnownIds, fresh
from features.plan import Plan
from features.sources.world import WorldConfig, generate
from features.spine import SCORING
from features.targets import PURPOSES, Condition, Named, Target, load_target
from features.views import VIEWS
from features.views.language import Events, View
from tests.features.test_compute_oracle import AT, DAY, QUICK, VIEW, _some_logs, logs

if TYPE_CHECKING:
    from cluster.workspace import Workspace

KEYS = ("account", "person", "lead", "opportunity", "campaign", "product", "rep")
MOMENTS = st.builds(
    lambda days, off: AT - days * DAY + off,
    st.integers(-4, 21),
    st.sampled_from((-1, 0, 0, 1, 60_000_000, 3_600_000_000)),
)
SOME_TIMES = [AT + n * DAY + off for n in range(-20, 5) for off in (0, 1, 7_200_000_000)]


def _spine(entities: Sequence[tuple[str, str | None]], times: Sequence[int]) -> pa.Table:
    """Every entity, with its account, at every moment."""
    rows = [(entity, account, at) for entity, account in entities for at in times]
    columns = [pa.array([row[n] for row in rows], kind) for n, kind in enumerate(_KINDS)]
    return pa.table(columns, names=SCORING.names).cast(SCORING)


_KINDS = (pa.string(), pa.string(), pa.int64())
LEADS = (("lead-0", "a"), ("lead-1", None), ("lead-2", "b"), ("lead-3", "a"))


def _reader(events: pa.Table, size: int = 7) -> slicing.Read:
    """Return what reads a table in groups of a few rows, texts as dictionaries of each group."""

    def read(columns: Sequence[str], span: Span | None = None) -> Iterator[pa.Table]:
        for start in range(0, max(events.num_rows, 1), size):
            rows = events.slice(start, size)
            rows = rows if span is None else filtered(rows, span.holds(rows[span.column]))
            coded = [_coded(rows[name]) for name in columns]
            yield pa.table(coded, names=list(columns))

    return read


def _coded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.dictionary_encode() if pa.types.is_string(column.type) else column


def sliced(view: View, events: pa.Table, spine: pa.Table, ends: Sequence[int]) -> pa.Table:
    """Return a view over slices that end at some moments, in microseconds."""
    read = _reader(events)
    replaced = slicing.replaced_in(read, parts=3)
    ends = [*sorted(set(ends)), log.NEVER]
    slices = slicing.slices_of(read, compute.columns_of(view), ends, replaced)
    return compute_slices(view, slices, spine)


def mismatches(
    view: View, events: pa.Table, spine: pa.Table, ends: Sequence[int]
) -> list[tuple[str, object]]:
    """Return the features that are others than at once."""
    whole, found = compute.compute(view, events, spine), sliced(view, events, spine, ends)
    assert found.schema == whole.schema
    columns = {f.name: f for f in view.features}
    return [
        (name, columns.get(name))
        for name in whole.column_names
        if not found[name].combine_chunks().equals(whole[name].combine_chunks())
    ]


def _doubled(events: pa.Table) -> pa.Table:
    """A log that has every fifth event twice."""
    return pa.concat_tables([events, events.take(pa.array(np.arange(0, events.num_rows, 5)))])


@settings(QUICK, max_examples=12)
@given(logs(), st.lists(MOMENTS, max_size=6), st.lists(MOMENTS, min_size=1, max_size=8))
def test_slices_give_what_all_at_once_does(
    events: pa.Table, ends: list[int], times: list[int]
) -> None:
    """Every aggregate, over late, corrected, simultaneous and doubled events."""
    assert mismatches(VIEW, _doubled(events), _spine(LEADS, times), ends) == []


@pytest.mark.drill
@settings(QUICK, max_examples=5_000)
@given(logs(), st.lists(MOMENTS, max_size=6), st.lists(MOMENTS, min_size=1, max_size=8))
def test_slices_give_what_all_at_once_does_five_thousand_times(
    events: pa.Table, ends: list[int], times: list[int]
) -> None:
    """Long form."""
    assert mismatches(VIEW, _doubled(events), _spine(LEADS, times), ends) == []


def _choices(view: View) -> list[Events]:
    """Return the events that a view looks at."""
    every = [getattr(feature, f.name) for feature in view.features for f in fields(feature)]
    return [choice for choice in every if isinstance(choice, Events)]


def _words(view: View) -> list[str]:
    """Return words that the conditions and features of a view speak of, and others."""
    named = [getattr(feature, "names", ()) for feature in view.features]
    met = [where.one_of for choice in _choices(view) for where in choice.where]
    return sorted({"red", "blue"}.union(*named, *met))


def _random_log(view: View, rng: np.random.Generator, events: int) -> pa.Table:
    """Return a log of what a view looks at, half of its rows corrected, a third known late."""
    choices, words = _choices(view), _words(view)
    rows: list[dict[str, Any]] = []
    for _ in range(events):
        choice = choices[rng.integers(len(choices))]
        at = int(AT + rng.integers(-100, 2) * DAY + rng.choice([0, 0, 1, 3_600_000_000]))
        late = int(rng.choice([0, 0, 1, DAY, 30 * DAY]))
        keys = {key: f"{key}-{rng.integers(3)}" for key in KEYS}
        rows.append(
            {
                **keys,
                "row_key": f"{rng.integers(events)}",
                "source": "test",
                "kind": choice.kind,
                "name": str(rng.choice([*(choice.names or ("other",)), *words])),
                "event_time": at,
                "known_at": at + late,
                "number": None if rng.random() < 0.2 else int(rng.integers(-5, 90)),
                "text": None if rng.random() < 0.2 else str(rng.choice(words)),
                "segment": f"segment-{rng.integers(3)}",
            }
        )
    return _events(rows)


def _events(rows: list[dict[str, Any]]) -> pa.Table:
    columns = {
        f.name: pa.array([row.get(f.name) for row in rows], _whole(f.type)).cast(f.type)
        for f in log.CANDIDATE
    }
    found = log.identified(pa.table(columns, schema=log.CANDIDATE))
    found = found.append_column("segment", pa.array([row.get("segment") for row in rows]))
    return fresh(found, KnownIds())[0]


def _whole(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind


BUCKETED = [view for view in VIEWS if view.entity in KEYS]


@pytest.mark.parametrize("view", BUCKETED, ids=lambda view: view.name)
@settings(QUICK, max_examples=4)
@given(st.integers(0, 10_000))
def test_ready_views_are_the_same_in_slices(view: View, seed: int) -> None:
    """At random moments, in random slices."""
    _must_be_same(view, seed)


@pytest.mark.drill
@pytest.mark.parametrize("view", BUCKETED, ids=lambda view: view.name)
@settings(QUICK, max_examples=100)
@given(st.integers(0, 10_000))
def test_ready_views_are_the_same_in_slices_often(view: View, seed: int) -> None:
    """Long form."""
    _must_be_same(view, seed)


def _must_be_same(view: View, seed: int) -> None:
    rng = np.random.default_rng(seed)
    events = _random_log(view, rng, 80)
    entities = [(f"{view.entity}-{n}", f"account-{n}") for n in range(3)]
    times, ends = ((AT + rng.integers(-100, 40, n) * DAY).tolist() for n in (20, rng.integers(9)))
    assert mismatches(view, events, _spine(entities, times), ends) == []


def _without(name: str, **changes: Any) -> Callable[[pytest.MonkeyPatch], None]:
    """Let nothing be carried out of a slice, or something of it be wrong."""
    left = Walk.left

    def wrong(mine: Walk, choices: Any) -> Carried:
        kept = left(mine, choices)
        return replace(kept, **{field: make(kept) for field, make in changes.items()})

    return lambda patch: patch.setattr(Walk, name, wrong)


def _begun_lost(patch: pytest.MonkeyPatch) -> None:
    faded = fading.faded

    def forgetful(*arguments: Any) -> Any:
        total, begun = faded(*arguments)
        return total, begun * 0

    patch.setattr(fading, "faded", forgetful)


def _never(carried: Carried) -> np.ndarray:
    return np.full(len(carried.group), log.NEVER)


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no pairs across slices": lambda p: p.setattr(
        Walk, "left", lambda mine, choices: Carried.none()
    ),
    "the last one for ever": _without("left", leave=_never),
    "the last one from the beginning": _without("left", enter=lambda c: c.since),
    "anything may be the earlier one": _without(
        "left", chosen=lambda c: {k: v | True for k, v in c.chosen.items()}
    ),
    "corrections across slices do not count": lambda p: p.setattr(
        slicing, "replaced_in", lambda read, parts: slicing.REPLACED.empty_table()
    ),
    "a half-life is cut in two": _begun_lost,
    "words of slices before are new": lambda p: p.setattr(
        folds.Runs, "shortened", lambda mine: replace(
            mine, codes=mine.codes[:0], first=mine.first[:0], last=mine.last[:0]
        ),
    ),
    "the latest slice alone": lambda p: p.setattr(folds, "joined", lambda m, one, other: other),
    "the first slice alone": lambda p: p.setattr(folds, "joined", lambda m, one, other: one),
    "the earliest is the latest": lambda p: p.setattr(
        folds, "_is_new", lambda measure, old, new: new != folds.NONE
    ),
    "events of other slices": lambda p: p.setattr(folds.Kept, "add", lambda m, events, at: at * 0),
}  # fmt: skip


def _some_mismatches() -> list[tuple[str, object]]:
    found = []
    for events in _some_logs():
        times = np.unique(log.microseconds(events["event_time"]))
        ends = (times[1:] + np.arange(len(times) - 1) % 2).tolist()
        found += mismatches(VIEW, _doubled(events), _spine(LEADS, SOME_TIMES), ends)
    return found


def test_some_logs_show_no_mismatch() -> None:
    """What the mutants are held against."""
    assert _some_mismatches() == []


@pytest.mark.parametrize("mutant", MUTANTS)
def test_what_is_not_carried_over_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that is known of the slices before, lost or wrong."""
    MUTANTS[mutant](monkeypatch)
    assert _some_mismatches()


def test_no_more_is_carried_than_there_are_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is learnt of a month late, so each is the last one for a while; and a mutant."""
    rows = [
        {"row_key": f"{n}", "source": "test", "kind": "touch", "name": "web_visit", "number": 1,
         "event_time": AT - n * 1_000_000, "known_at": AT - n * 1_000_000 + 30 * DAY,
         "lead": "lead-0", "account": "a"}
        for n in range(500)
    ]  # fmt: skip
    left, carried = Walk.left, list[int]()

    def noted(mine: Walk, choices: Any) -> Carried:
        kept = left(mine, choices)
        carried.append(len(kept.group))
        return kept

    monkeypatch.setattr(Walk, "left", noted)
    spine = _spine(LEADS, [AT + 29 * DAY, AT + 30 * DAY - 5_000_000, AT + 40 * DAY])
    assert mismatches(VIEW, _events(rows), spine, [AT - 50_000_000]) == []
    assert 0 < max(carried) <= 2 * len(LEADS)
    monkeypatch.setattr("features.compute.carried._seen", lambda items: items.enter < items.leave)
    assert mismatches(VIEW, _events(rows), spine, [AT - 50_000_000]) == []
    assert max(carried) > 400


@QUICK
@given(
    st.lists(st.integers(0, 40) | st.integers(0, 1 << 40), min_size=1, max_size=60),
    st.integers(1, 12),
)
def test_slices_hold_no_more_than_they_may(times: list[int], limit: int) -> None:
    """Unless more happen in one microsecond; ends ascend, and no slice is empty."""
    stamps = pa.array(times).cast(log.MICROSECONDS)
    ends = slicing.ends_of(_reader(pa.table({"event_time": stamps})), limit)
    edges = [slicing.BEGIN, *ends]
    assert edges == sorted(set(edges)) and ends[-1] == log.NEVER
    for low, high in zip(edges, ends, strict=False):
        inside = [t for t in times if low <= t < high]
        assert inside and (len(inside) <= limit or len(set(inside)) == 1)


def test_a_period_of_too_many_is_cut_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: counted by the hour alone, a busy hour is one slice."""
    stamps = pa.array(range(100)).cast(log.MICROSECONDS)
    read = _reader(pa.table({"event_time": stamps}))
    assert len(slicing.ends_of(read, 10)) == 10
    monkeypatch.setattr(slicing, "SHIFTS", (32,))
    assert len(slicing.ends_of(read, 10)) == 1


@QUICK
@given(logs(), st.integers(1, 5))
def test_versions_are_found_in_parts(events: pa.Table, parts: int) -> None:
    """Whatever the number of parts, and if some events are there twice."""
    found = slicing.replaced_in(_reader(_doubled(events)), parts)
    replaced = log.retracted_at(events)
    ids = events["event_id"].to_pylist()
    want = {row: at for row, at in zip(ids, replaced.tolist(), strict=True) if at < log.NEVER}
    assert dict(zip(*(found[name].to_pylist() for name in found.column_names), strict=True)) == want


TARGET = Target(
    name="sliced",
    description="Does it end within two days? Only of those that have visited.",
    entity="lead",
    anchor=Named(kind="lead", names=("created",)),
    delay_days=1,
    every_days=1,
    times=4,
    horizon_days=2,
    label=Named(kind="lead", names=("qualified",)),
    closed_by=(Named(kind="lead", names=("disqualified",)),),
    eligible=(Condition(has=Named(kind="touch", names=("web_visit",)), of="account"),),
    views=("lead_engagement", "lead_cadence"),
)


def _leads(seed: int, events: int) -> pa.Table:
    """Return a log in which what the target speaks of is corrected to something else, and back."""
    rng, made = np.random.default_rng(seed), []
    names = {"lead": ("created", "qualified", "disqualified", "other"),
             "touch": ("web_visit", "page_view")}  # fmt: skip
    for _ in range(events):
        kind, at = str(rng.choice(["lead", "touch"])), int(AT + rng.integers(-9, 2) * DAY)
        number = rng.integers(4)
        keys = {"lead": f"lead-{number}", "account": f"account-{number % 2}"}
        row = {"row_key": f"{rng.integers(events)}", "source": "test", "kind": kind, **keys}
        known = at + int(rng.choice([0, DAY, 2 * DAY]))
        row |= {"name": str(rng.choice(names[kind])), "event_time": at, "known_at": known}
        made.append(row)
    return _events(made).drop_columns(["segment"])


def _plans() -> list[Plan]:
    """Return a plan of each purpose."""
    days = timedelta(days=2)
    as_of = pa.scalar(AT + 2 * DAY).cast(log.MICROSECONDS).as_py()
    asked = pa.table({"entity": ["lead-0", "lead-2"], "time": [as_of - days, as_of]})
    said: dict[str, Any] = {"target": TARGET, "as_of": as_of, "snapshot": 1, "asked": asked}
    return [Plan(purpose=p, moments=(as_of - days, as_of), **said) for p in PURPOSES]


def _differing(seeds: range) -> Iterator[tuple[int, str]]:
    """Yield seeds of logs and purposes of plans whose rows are others in slices."""
    for seed, plan in product(seeds, _plans()):
        events = _leads(seed, 60)
        rows = slicing.rows_of(plan, _reader(events, 9), events.num_rows, 15)
        if rows.combine_chunks() != plan.rows_of(events).combine_chunks():
            yield seed, plan.purpose


@pytest.mark.drill
def test_a_plan_in_slices_has_the_same_rows() -> None:
    """For every purpose: rows, labels, what is eligible, and features."""
    assert list(_differing(range(6))) == []
    assert any(plan.rows_of(_leads(0, 60)).num_rows for plan in _plans())


def test_all_versions_of_what_a_target_speaks_of_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mutant: without those of other kinds and names, what was corrected still stands."""
    told = slicing.told

    def as_named(target: Target, read: slicing.Read) -> pa.Table:
        events = told(target, read)
        named = [
            log.named(events, each.kind, each.names).to_numpy() for _, each, _ in target.events
        ]
        return events.filter(pa.array(np.any(named, axis=0)))

    monkeypatch.setattr(slicing, "told", as_named)
    assert any(_differing(range(20)))


def test_large_buckets_are_computed_in_slices(workspace: Workspace) -> None:
    """The same rows as from one read of the bucket, whatever the limit."""
    world = generate(WorldConfig(seed=3, scale=0.05, weeks=40, faults=0.01)).events
    ingest.ingest(workspace, load_contracts(CONFIGS / "contracts"), world)
    snapshot = log.pinned(workspace.tables)
    plan = Plan(
        target=load_target("lead_qualification"),
        purpose="training",
        as_of=log.latest(workspace.tables, snapshot),
        snapshot=snapshot,
    )
    said = []
    for limit in (10_000_000, 500):
        own = workspace.settings.model_copy(update={"slice_events": limit})
        for bucket in workspace.tables.buckets(log.TABLE, snapshot):
            assert bucket.rows > 500
            rows = step.rows_of(replace(workspace, settings=own), plan, bucket)
            said.append(content.of(rows))
    half = len(said) // 2
    assert said[:half] == said[half:] and sum(each.rows for each in said) > 0


@pytest.mark.drill
def test_a_hot_account_needs_the_memory_of_a_slice(tmp_path: Path) -> None:
    """Six million events of one account: at once and in slices, each in a process of its own."""
    _child(tmp_path, "fill", 6_000_000)
    whole, *parts = (_child(tmp_path, "rows", limit) for limit in (10_000_000, 1_000_000, 500_000))
    assert [part["said"] for part in parts] == [whole["said"]] * 2
    assert whole["rows"] > 5_000
    assert whole["peak_mib"] > 2.2 * parts[0]["peak_mib"] > 2.2 * parts[1]["peak_mib"], (
        whole,
        parts,
    )


def _child(home: Path, what: str, number: int) -> Any:
    command = [sys.executable, "-m", "tests.features.child_hot", str(home), what, str(number)]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return json.loads(said or "null")
