"""Every aggregate against its words, over random logs with late, corrected, doubled and
simultaneous events, and windows whose edges are met to the microsecond.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features import compute, log
from features.compute import inputs, order, pairs, sweep
from features.fingerprint import fixed
from features.known import KnownIds, fresh
from features.spine import SCORING
from features.views import aggregates as a
from features.views.language import Events, View, Where
from tests.features import oracle

DAY = 86_400_000_000
AT = 1_700_000_000_000_000 - 1_700_000_000_000_000 % DAY + 9 * 3_600_000_000  # a Tuesday, 9:00
WINDOWS: tuple[float | None, ...] = (None, 1, 7)
TOUCH = Events(kind="touch")
VISITS = Events(kind="touch", names=("web_visit", "pricing_visit"))
COSTLY = Events(kind="touch", where=(Where(column="number", at_least=2, below=9),))
RED = Events(kind="touch", where=(Where(column="text", one_of=("red", "blue")),))
ACCOUNT = Events(kind="touch", of="account")
STAGE, REPLY = Events(kind="stage"), Events(kind="touch", names=("email_replied",))
SPLIT = {"before": ("web_visit",), "after": ("pricing_visit", "email_replied")}


def _features() -> tuple[a.Feature, ...]:
    """Every aggregate over every window, and every choice of events."""
    made: list[Any] = []
    for number, days in enumerate(WINDOWS):
        plain: dict[str, Any] = {"label": "", "window_days": days}
        for kind in (a.Count, a.Sum, a.Mean, a.Min, a.Max, a.LastNumber, a.LastText, a.LastName,
                     a.FirstNumber, a.FirstText, a.FirstName, a.HoursSince, a.HoursSinceFirst,
                     a.Silence):  # fmt: skip
            events = (VISITS, TOUCH, ACCOUNT, COSTLY, RED)[(number + len(made)) % 5]
            made.append(kind(name="", events=events, **plain))
        made += [
            a.Distinct(name="", events=TOUCH, column="text", **plain),
            a.Distinct(name="", events=ACCOUNT, column="name", **plain),
            a.Ratio(name="", events=REPLY, per=ACCOUNT, **plain),
            a.Share(name="", events=TOUCH, names=("pricing_visit",), **plain),
            *(a.Gap(name="", events=e, statistic=s, **plain)
              for s in ("mean", "max", "deviation") for e in (TOUCH, ACCOUNT)),
            *(a.Streak(name="", events=VISITS, period_days=d, **plain) for d in (1, 7)),
            *(a.Decay(name="", events=TOUCH, half_life_days=h, of=of, **plain)
              for h in (0.5, 7) for of in ("events", "numbers")),
            a.HoursIn(name="", events=TOUCH, names=("web_visit",), **plain),
            a.Transitions(name="", events=TOUCH, **SPLIT, **plain),
            a.Transitions(name="", events=TOUCH, after=("web_visit",), **plain),
            *(a.ResponseHours(name="", events=VISITS, answer=REPLY, statistic=s, **plain)
              for s in ("mean", "max")),
            a.HoursUnanswered(name="", events=VISITS, answer=REPLY, **plain),
        ]  # fmt: skip
    made.append(a.Trend(name="", label="", events=TOUCH, window_days=1, than_days=7))
    return tuple(_named(feature, f"f{n}") for n, feature in enumerate(made))


def _named(feature: a.Feature, name: str) -> a.Feature:
    return replace(feature, name=name)


VIEW = View(
    name="all", entity="lead", owner="", description="", privacy="internal", features=_features()
)


@st.composite
def logs(draw: st.DrawFn) -> pa.Table:
    """Return a log around AT: times at and beside the edges of windows, days, T and each other."""
    edges = [AT, AT - DAY, AT - 7 * DAY, AT - 3 * DAY, AT - 15 * DAY, AT - 9 * 3_600_000_000]
    moment = st.builds(
        lambda edge, off: edge + off,
        st.sampled_from(edges) | st.integers(AT - 20 * DAY, AT + DAY),
        st.sampled_from((-1, 0, 0, 1, 60_000_000, 3_600_000_000)),
    )
    rows = draw(st.lists(st.tuples(
        st.integers(0, 9), moment, moment, st.sampled_from((0, 0, 0, 1, DAY)),
        st.sampled_from(("web_visit", "pricing_visit", "email_replied")),
        st.none() | st.integers(-3, 12), st.sampled_from((None, "red", "green", "blue")),
        st.sampled_from((("lead-0", "a"), ("lead-0", "a"), ("lead-1", "a"), ("lead-2", "b"))),
    ), max_size=24))  # fmt: skip
    return _log(rows)


def _log(rows: list[tuple[Any, ...]]) -> pa.Table:
    plain = [
        {
            "row_key": f"{key}", "source": "test", "kind": "touch", "name": name,
            "event_time": t, "known_at": max(t, k) if lag == 0 else t + lag,
            "lead": lead, "account": account, "number": number, "text": text,
        }
        for key, t, k, lag, name, number, text, (lead, account) in rows
    ]  # fmt: skip
    whole = pa.int64()
    kinds = [pa.field(f.name, whole if pa.types.is_timestamp(f.type) else f.type)
             for f in log.CANDIDATE]  # fmt: skip
    table = pa.Table.from_pylist(plain, schema=pa.schema(kinds)).cast(log.CANDIDATE)
    return fresh(log.identified(table), KnownIds())[0]


def _spine() -> pa.Table:
    rows = [
        (lead, account, at)
        for lead, account in (("lead-0", "a"), ("lead-1", None), ("lead-2", "b"), ("lead-3", "a"))
        for at in (AT, AT + 1, AT + 3 * DAY)
    ]
    columns = list(zip(*rows, strict=True))
    return pa.table([pa.array(c) for c in columns], names=SCORING.names).cast(SCORING)


def mismatches(events: pa.Table) -> list[str]:
    """Return what differs between the engine and the words."""
    rows = compute.compute(VIEW, events, _spine())
    plain = oracle.events_of(events)
    times = rows["time"].cast(pa.int64()).to_pylist()
    found = []
    for row, at in zip(rows.to_pylist(), times, strict=True):
        for feature in VIEW.features:
            got, want = row[feature.name], oracle.expected(feature, "lead", plain, row | {"at": at})
            if not _equal(feature, got, want):
                found.append(f"{feature} of {row['entity']} at {at - AT}: {got} is not {want}")
    return found


def _equal(feature: a.Feature, got: Any, want: Any) -> bool:
    if not isinstance(want, float) or not isinstance(got, float):
        return bool(got == want)
    is_rounded = isinstance(feature, a.Decay)  # its weights are, to 2 ** -20
    return math.isclose(got, want, rel_tol=2e-6 if is_rounded else 1e-9, abs_tol=1e-4)


QUICK = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


@QUICK
@given(logs())
def test_every_aggregate_is_what_its_words_say(events: pa.Table) -> None:
    """Short form."""
    assert mismatches(events) == []


@pytest.mark.drill
@settings(QUICK, max_examples=10_000)
@given(logs())
def test_every_aggregate_is_what_its_words_say_ten_thousand_times(events: pa.Table) -> None:
    """Long form."""
    assert mismatches(events) == []


SEEDS = (3, 4, 5)


@pytest.mark.parametrize("feature", VIEW.features[:31], ids=lambda f: type(f).__name__)
def test_a_view_needs_the_columns_it_names(feature: a.Feature) -> None:
    """With those alone it is computed to the same values; without any of them it cannot be."""
    alone = replace(VIEW, features=(feature,))
    events = _some_logs()[0]
    needed = compute.columns_of(alone)
    whole = compute.compute(alone, events, _spine())
    assert compute.compute(alone, events.select(needed), _spine()).equals(whole)
    for column in set(needed) - {"name"}:
        with pytest.raises(KeyError):
            compute.compute(alone, events.select(needed).drop_columns([column]), _spine())


def _some_logs() -> list[pa.Table]:
    """Logs in which every rule matters to some row."""
    names = ("web_visit", "pricing_visit", "email_replied")
    leads = (("lead-0", "a"), ("lead-0", "a"), ("lead-1", "a"), ("lead-2", "b"))
    made = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(60):
            t = AT - int(rng.choice([0, 1, DAY, DAY + 1, 7 * DAY, 7 * DAY + 1, 3 * DAY]))
            known = t + int(rng.choice([0, 1, DAY, 4 * DAY]))
            text = rng.choice([None, "red", "green", "blue"])
            number = None if rng.random() < 0.2 else int(rng.integers(-3, 12))
            key, lead = int(rng.integers(0, 35)), leads[int(rng.integers(0, 4))]
            rows.append((key, t, known, 0, names[int(rng.integers(0, 3))], number, text, lead))
        made.append(_log(rows))
    return made


def _not_strict(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Any, events: pa.Table) -> None:
        original(self, events)
        self.enter = np.maximum(self.times, log.microseconds(events["known_at"]))

    return init


def _all_known(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Any, events: pa.Table) -> None:
        original(self, events)
        self.enter = self.times + 1

    return init


def _unordered(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda group, groups, keys: original(group, groups, tuple(key * 0 for key in keys))


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "at T itself": lambda p: p.setattr(
        inputs.Inputs, "__init__", _not_strict(inputs.Inputs.__init__)
    ),
    "before it is known": lambda p: p.setattr(
        inputs.Inputs, "__init__", _all_known(inputs.Inputs.__init__)
    ),
    "corrected all the same": lambda p: p.setattr(
        log, "replaced_at", lambda known, *_: np.full(len(known), log.NEVER)
    ),
    "in any order": lambda p: p.setattr(order, "by_group", _unordered(order.by_group)),
    "a window longer by a microsecond": lambda p: p.setattr(
        order, "covered", _longer(order.covered)
    ),
    "a sum longer by a microsecond": lambda p: p.setattr(
        sweep, "sweep", _summed_longer(sweep.sweep)
    ),
    "sums in one group": lambda p: p.setattr(sweep, "by_group", _any_group(sweep.by_group)),
    "pairs for ever": lambda p: p.setattr("features.compute.items.paired", _for_ever(pairs.paired)),
}


def _longer(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda group, force, windows, rows: original(group, force, windows + 1, rows)


def _summed_longer(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda events, chosen, rows, table, found: original(
        events, chosen, rows, (*table[:4], np.minimum(table[4], log.NEVER - 1) + 1), found
    )


def _any_group(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda kinds, names, classes, group, groups: original(
        kinds, names, classes, np.minimum(group, 0), groups
    )


def _for_ever(original: Callable[..., Any]) -> Callable[..., Any]:
    def paired(*arguments: Any) -> Any:
        earlier, later, came, went = original(*arguments)
        return earlier, later, came, np.full(len(went), log.NEVER)

    return paired


def test_random_logs_show_no_mismatch() -> None:
    """What the mutants are held against."""
    assert [found for events in _some_logs() for found in mismatches(events)] == []


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_rule_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule of the semantics, broken."""
    MUTANTS[mutant](monkeypatch)
    assert any(mismatches(events) for events in _some_logs())


@QUICK
@given(logs(), st.integers(0, 1000))
def test_the_order_of_input_and_its_partition_cannot_be_seen(events: pa.Table, seed: int) -> None:
    """Shuffled, spread over chunks, as codes of words, and entity by entity: the same bits."""
    whole = compute.compute(VIEW, events, _spine())
    rng = np.random.default_rng(seed)
    shuffled = events.take(rng.permutation(events.num_rows))
    cut = int(rng.integers(0, events.num_rows + 1))
    chunks = pa.concat_tables([shuffled.slice(0, cut), shuffled.slice(cut)])
    coded = pa.table({
        name: column.dictionary_encode() if pa.types.is_string(column.type) else column
        for name, column in zip(chunks.column_names, chunks.columns, strict=True)
    })  # fmt: skip
    spine = _spine().take(rng.permutation(12))
    assert compute.compute(VIEW, coded, spine).equals(whole)
    parts = [
        compute.compute(VIEW, events, spine.filter(pa.compute.equal(spine["entity"], f"lead-{n}")))
        for n in range(4)
    ]
    assert pa.concat_tables(parts).combine_chunks().equals(whole.combine_chunks())


@pytest.mark.drill
@QUICK
@given(logs(), logs())
def test_what_comes_after_changes_nothing(events: pa.Table, later: pa.Table) -> None:
    """Events that happen or become known after T cannot be seen at T, whatever they say."""
    rows = _spine().filter(pa.compute.equal(_spine()["time"], pa.scalar(AT, log.MICROSECONDS)))
    before = compute.compute(VIEW, events, rows)
    moved = later.filter(pa.compute.greater(later["known_at"], pa.scalar(AT, log.MICROSECONDS)))
    assert compute.compute(VIEW, pa.concat_tables([events, moved]), rows).equals(before)


def test_a_crowded_entity_has_the_same_features_as_a_quiet_one() -> None:
    """Seven hundred events in any order and three hundred rows: marks that lie far apart."""
    rng = np.random.default_rng(5)
    rows = [
        (i % 600, AT - int(t), AT - int(k), 0, "web_visit", int(n), "red", ("lead-0", "a"))
        for i, (t, k, n) in enumerate(rng.integers(0, 30 * DAY, (700, 3)) // (1, 1, DAY))
    ]
    events, times = _log(rows), AT - np.sort(rng.integers(0, 20 * DAY, 300))
    spine = pa.table({"entity": ["lead-0"] * 300, "account": ["a"] * 300, "time": times})
    plain = (a.Count, a.Sum, a.Min, a.LastNumber, a.Distinct)
    view = replace(VIEW, features=tuple(f for f in VIEW.features if type(f) in plain))
    made = compute.compute(view, events, spine.cast(SCORING))
    seen = oracle.events_of(events)
    for row in made.take(list(range(0, 300, 23))).to_pylist():
        at = row | {"at": (row["time"] - oracle.EPOCH) // timedelta(microseconds=1)}
        want = {f.name: oracle.expected(f, "lead", seen, at) for f in view.features}
        assert {name: row[name] for name in want} == want


def test_events_are_sorted_by_group_and_four_keys() -> None:
    """Against numpy's own sort, with many ties; what has no group is left out."""
    rng = np.random.default_rng(0)
    group = rng.integers(-1, 6, 4000).astype(np.int32)
    times, known = rng.integers(0, 50, 4000), rng.integers(0, 5, 4000)
    row, content = (fixed(rng.integers(0, 9, 4000).astype(np.uint64)) for _ in range(2))
    places, starts = order.by_group(group, 6, (fixed(times), fixed(known), row, content))
    want = np.lexsort((content, row, known, times, group))[(group < 0).sum() :]
    keys = np.stack([group, times, known, row.astype(int), content.astype(int)])
    assert (keys[:, places] == keys[:, want]).all()
    assert starts.tolist() == np.searchsorted(group[want], np.arange(7)).tolist()
