"""Person-period tables: what was known when it was, whatever was learnt later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features import log
from features.sources.world import WorldConfig, generate
from serving.forecast import person, standing, units
from serving.forecast.funnels import DAY, load_funnel

SALES = load_funnel("sales")
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
END = datetime(2026, 3, 5, 12, tzinfo=UTC)  # a Thursday of the world: all is in full swing
WON, LOST = SALES.won_state, SALES.lost_state


def day(number: float) -> datetime:
    """Return a moment, in days since the first Monday."""
    return MONDAY + timedelta(days=number)


def event(what: str, at: float, known: float | None = None, **more: Any) -> dict[str, Any]:
    """Return one event; without `known` it is known at once, and without `row` alone in its row."""
    kind, name = what.split(".")
    row = more.pop("row", f"{what} {more} {at}")
    times = {"event_time": day(at), "known_at": day(at if known is None else known)}
    return {"row_key": row, "source": "test", "kind": kind, "name": name, **times, **more}


def identified(events: list[dict[str, Any]]) -> pa.Table:
    """Return events as rows of the log."""
    return log.identified(pa.Table.from_pylist(events, log.CANDIDATE))


def read(events: list[dict[str, Any]], at: float) -> units.Course:
    """Return the courses of the events as known on a day."""
    return units.read(identified(events), SALES, day(at))


def rows(events: list[dict[str, Any]], at: float) -> list[tuple[str, str, int, str]]:
    """Return unit, stage, steps in it and destination of every row."""
    course = read(events, at)
    found = person.table(course).frame(course.names)
    wanted = found[["unit", "stage", "steps_in_stage", "destination"]]
    return list(wanted.itertuples(index=False, name=None))


DEAL = [
    event("opportunity.created", 1.0, opportunity="a", number=500),
    event("stage.discovery", 1.0, opportunity="a"),
    event("stage.evaluation", 9.0, opportunity="a"),
    event("stage.discovery", 23.0, opportunity="a"),
    event("outcome.won", 30.0, opportunity="a", number=600),
]


def test_a_deal_has_a_row_for_every_step_it_was_open_in() -> None:
    assert rows(DEAL, 70.0) == [
        ("a", "discovery", 0, "discovery"),
        ("a", "discovery", 0, "evaluation"),
        ("a", "evaluation", 0, "evaluation"),
        ("a", "evaluation", 1, "discovery"),
        ("a", "discovery", 0, "won"),
    ]


def test_what_happened_is_told_in_five_words() -> None:
    course = read(DEAL, 70.0)
    outcomes = person.table(course).frame(course.names)["outcome"].tolist()
    assert outcomes == ["stay", "advance", "stay", "regress", "won"]


def test_the_step_of_arrival_counts_half() -> None:
    found = person.table(read(DEAL, 70.0))
    assert found.exposure.tolist() == [0.5, 1.0, 1.0, 1.0, 1.0]
    assert found.is_first.tolist() == [True, False, False, False, False]


def test_no_step_is_cut_short() -> None:
    """The steps end at T, on whatever day that is."""
    assert rows(DEAL, 31.5)[-1] == ("a", "discovery", 0, "won")
    assert rows(DEAL, 29.9)[-1][-1] == "discovery"
    assert person.table(read(DEAL, 31.5)).bounds[-1] == MONDAY.timestamp() * 1e6 + 31.5 * DAY


def test_a_deal_that_never_changes_stage_stays_in_every_step() -> None:
    found = rows(DEAL[:1], 28.0)
    assert found == [("a", "discovery", max(0, n - 1), "discovery") for n in range(4)]


def test_an_event_at_a_bound_is_not_known_before_it() -> None:
    assert rows(DEAL, 30.0)[-1][-1] == "discovery"
    assert rows(DEAL, 30.001)[-1][-1] == "won"


def test_a_late_entry_is_a_move_of_the_step_in_which_it_was_learnt() -> None:
    late = event("stage.evaluation", 9.0, 20.0, opportunity="a")
    destinations = [row[-1] for row in rows([*DEAL[:2], late], 35.0)]
    assert destinations == ["discovery", "discovery", "evaluation", "evaluation", "evaluation"]
    assert rows([*DEAL[:2], late], 35.0)[3] == ("a", "evaluation", 1, "evaluation")


def test_a_correction_counts_from_when_it_was_known() -> None:
    """What was called proposal was evaluation: for those who know it from day 20 on."""
    wrong = event("stage.proposal", 9.0, opportunity="a", row="entry")
    right = event("stage.evaluation", 9.0, 20.0, opportunity="a", row="entry")
    stages = [row[1] for row in rows([*DEAL[:2], wrong, right], 35.0)]
    assert stages == ["discovery", "discovery", "proposal", "evaluation", "evaluation"]


def test_what_was_taken_back_stands_no_more() -> None:
    """A win that was retracted, by the mark that it lies elsewhere now, opens the deal again."""
    won = event("outcome.won", 9.0, opportunity="a", row="entry")
    back = event("retraction.moved", 9.0, 16.0, opportunity="a", row="entry")
    found = rows([*DEAL[:2], won, back], 35.0)
    assert [row[-1] for row in found] == ["discovery", "won", "discovery", "discovery"]


def test_the_earliest_end_that_stands_closes() -> None:
    ends = [
        event("outcome.lost", 16.0, opportunity="a"),
        event("stage.proposal", 17.0, opportunity="a"),
    ]
    assert [row[-1] for row in rows([*DEAL[:2], *ends], 50.0)] == ["discovery"] * 2 + ["lost"]


def test_changes_of_one_moment_end_in_the_furthest_stage() -> None:
    events = [
        event("stage.proposal", 5.0, opportunity="a"),
        event("stage.evaluation", 5.0, opportunity="a"),
    ]
    assert rows([*DEAL[:2], *events], 7.0) == [("a", "discovery", 0, "proposal")]


def test_a_unit_that_is_first_seen_further_on_began_where_all_do() -> None:
    assert rows([event("stage.proposal", 3.0, opportunity="a")], 14.0) == [
        ("a", "discovery", 0, "proposal"),
        ("a", "proposal", 0, "proposal"),
    ]


LEADS = [
    event("lead.created", 1.0, lead="x"),
    event("lead.qualified", 9.0, lead="x", opportunity="b"),
    event("opportunity.created", 9.0, lead="x", opportunity="b", number=1),
    event("opportunity.created", 12.0, lead="x", opportunity="c", number=1),
    event("lead.created", 2.0, lead="y"),
    event("lead.disqualified", 10.0, lead="y"),
    event("opportunity.created", 20.0, lead="y", opportunity="d", number=1),
    event("opportunity.created", 3.0, lead="unheard of", opportunity="e", number=1),
    event("lead.disqualified", 16.0, lead="x"),
]


def test_a_lead_that_becomes_a_deal_stays_the_same_unit() -> None:
    """Its second deal, a deal after its end, and a deal of nobody are units of their own; what is
    said of the lead later does not end the deal."""
    found = pd.DataFrame(rows(LEADS, 28.0), columns=["unit", "stage", "stayed", "then"])
    ways = found.groupby("unit")["then"].agg(list).to_dict()
    assert ways["x"] == ["lead", "discovery", "discovery", "discovery"]
    assert ways["y"] == ["lead", "lost"]
    assert {name: len(way) for name, way in ways.items() if name in "cde"} == {
        "c": 3, "d": 2, "e": 4,
    }  # fmt: skip
    assert set(found.loc[found["unit"].isin(["c", "d", "e"]), "stage"]) == {"discovery"}


def test_an_empty_log_gives_an_empty_table() -> None:
    assert len(person.table(read([], 10.0))) == 0


def _messy(seed: int) -> list[dict[str, Any]]:
    """Return deals whose events are late, corrected, repeated and in no order."""
    rng = np.random.default_rng(seed)
    names = ["opportunity.created", *(f"stage.{stage}" for stage in SALES.states[1:5])]
    names += ["outcome.won", "outcome.lost", "retraction.moved"]
    chances = [0.2, 0.15, 0.15, 0.15, 0.1, 0.07, 0.08, 0.1]
    made = []
    for _ in range(300):
        deal, at = f"d{rng.integers(0, 30)}", float(rng.integers(0, 50))
        known = at + float(rng.choice([0.0, 0.3, 15.0]))
        row = f"{deal} {rng.integers(0, 6)}"
        made.append(event(str(rng.choice(names, p=chances)), at, known, opportunity=deal, row=row))
    return made


def _plain(events: pa.Table) -> list[dict[str, Any]]:
    """Return the rows by when they were known, with times in microseconds."""
    times = {name: events[name].cast(pa.int64()) for name in ("event_time", "known_at")}
    wanted = ("row_key", "kind", "name", "opportunity", "event_id")
    rows = pa.table({**{name: events[name] for name in wanted}, **times}).to_pylist()
    return sorted(rows, key=lambda row: (row["known_at"], row["event_id"]))


def _oracle(events: list[dict[str, Any]], unit: str, moment: int) -> int:
    """Return the state of a deal at a moment in plain Python, -1 for none."""
    stands = {row["row_key"]: row for row in events if row["known_at"] <= moment}
    state, order = -1, {name: n for n, name in enumerate(SALES.states)}
    found = [
        (r["event_time"], order.get("discovery" if r["name"] == "created" else r["name"], -1))
        for r in stands.values()
        if r["opportunity"] == unit and r["event_time"] < moment and r["kind"] != "retraction"
    ]
    for _, new in sorted(found):
        if new >= WON and state >= 0:
            return new
        state = new if new < WON else state
    return state


@pytest.mark.parametrize("seed", range(2))
def test_every_row_is_what_plain_python_says(seed: int) -> None:
    events = identified(_messy(seed))
    course = units.read(events, SALES, day(63.0))
    found, plain = person.table(course), _plain(events)
    by_unit = {
        name: [_oracle(plain, name, bound) for bound in found.bounds.tolist()]
        for name in np.unique(course.names).tolist()
    }
    for n in range(len(found)):
        told = by_unit[course.names[found.unit[n]]]
        assert found.then[n] == told[found.step[n] + 1]
        if not found.is_first[n]:
            assert found.stage[n] == told[found.step[n]]
    was_open = sum(
        0 <= now < WON and then >= 0 for told in by_unit.values() for now, then in pairwise(told)
    )
    assert (~found.is_first).sum() == was_open


@pytest.fixture(scope="module")
def world() -> pa.Table:
    """Return the log of a small company, with late entries and corrections."""
    made = generate(WorldConfig(scale=0.15, faults=0.0, corrections=0.05, late=0.05))
    return log.identified(made.events.select(log.CANDIDATE.names).cast(log.CANDIDATE))


def _table(events: pa.Table, at: datetime) -> pd.DataFrame:
    course = units.read(events, SALES, at)
    return person.table(course).frame(course.names).sort_values(["unit", "step_start"])


def test_the_table_of_a_moment_is_that_of_the_log_of_the_moment(world: pa.Table) -> None:
    of_then = world.filter(pc.less_equal(world["known_at"], pa.scalar(END, log.MICROSECONDS)))
    assert len(of_then) < len(world)
    pd.testing.assert_frame_equal(_table(of_then, END), _table(world, END))


def test_the_final_record_would_differ(world: pa.Table) -> None:
    """Mutant: the last version of everything, known as soon as it happened."""
    final = log.visible(world, datetime(2030, 1, 1, tzinfo=UTC))
    place = final.schema.get_field_index("known_at")
    final = final.set_column(place, "known_at", final["event_time"])
    honest, mutant = _table(world, END), _table(final, END)
    assert not honest.reset_index(drop=True).equals(mutant.reset_index(drop=True))
    moved = [table["outcome"].ne("stay").sum() for table in (honest, mutant)]
    assert moved[1] > moved[0], "with hindsight more is known"


def test_what_is_learnt_later_changes_no_row_that_had_ended(world: pa.Table) -> None:
    weeks = 12
    earlier = END - timedelta(weeks=weeks)
    before, after = _table(world, earlier), _table(world, END)
    ended = after[after["step_start"] < earlier]
    assert len(ended) > 500
    pd.testing.assert_frame_equal(
        before.reset_index(drop=True), ended.reset_index(drop=True), check_index_type=False
    )


@pytest.mark.parametrize("is_mutant", [False, True])
def test_it_is_known_at_that_keeps_the_future_out(
    world: pa.Table, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """Mutant: what is known is taken to have been known when it happened."""
    if is_mutant:
        honest = standing.versions

        def careless(keys: int, key: Any, said: Any, times: Any) -> standing.Versions:
            return honest(keys, key, said, (times[0], times[0], times[2]))

        monkeypatch.setattr(standing, "versions", careless)
    earlier = END - timedelta(weeks=12)
    before, after = _table(world, earlier), _table(world, END)
    ended = after[after["step_start"] < earlier]
    same = (
        len(before) == len(ended)
        and (before["destination"].to_numpy() == ended["destination"].to_numpy()).all()
    )
    assert same != is_mutant
