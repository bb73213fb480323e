"""Spines: labels, maturity and population by the definition of a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features import spine
from features.targets import Target

Events = Callable[..., pa.Table]
DAY_0 = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
TARGET = Target.model_validate(
    {
        "name": "test",
        "description": "",
        "entity": "lead",
        "anchor": {"kind": "lead", "names": ["created"]},
        "delay_days": 2,
        "every_days": 10,
        "times": 2,
        "horizon_days": 30,
        "settle_days": 1,
        "label": {"kind": "lead", "names": ["qualified"]},
        "closed_by": [{"kind": "lead", "names": ["disqualified"]}],
        "views": ["lead_engagement"],
    }
)


@pytest.fixture
def random_leads(make_events: Events) -> Callable[[int], pa.Table]:
    """Return a function that makes leads whose events are late, corrected and in no order."""

    def make(seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(300):
            lead, at = int(rng.integers(0, 30)), float(rng.uniform(0, 50))
            name = rng.choice(["created", "created", "qualified", "disqualified", "updated"])
            row = {"kind": "lead", "name": str(name), "lead": f"lead-{lead}", "at": at}
            row |= {"row_key": f"{lead}-{rng.integers(0, 6)}", "account": f"a-{rng.integers(0, 3)}"}
            rows.append(row | {"known": at + float(rng.choice([0, 0.5, 12]))})
        return make_events(*rows)

    return make


def _lead(lead: str, **moments: float) -> list[dict[str, Any]]:
    return [{"kind": "lead", "name": n, "lead": lead, "at": at} for n, at in moments.items()]


def _rows(events: pa.Table, day: float) -> dict[tuple[str, float], tuple[bool, bool]]:
    rows = spine.training(TARGET, events, DAY_0 + timedelta(days=day)).to_pylist()
    return {
        (r["entity"], (r["time"] - DAY_0) / timedelta(days=1)): (r["label"], r["mature"])
        for r in rows
    }


def test_the_label_window_is_half_open(make_events: Events) -> None:
    """At T itself counts (it was not known before T), at T + horizon does not."""
    events = make_events(
        *_lead("at_T", created=0, qualified=2),
        *_lead("last", created=0, qualified=31.99),
        *_lead("too_late", created=0, qualified=32),
    )
    labels = {lead: label for (lead, day), (label, _) in _rows(events, 100).items() if day == 2}
    assert labels == {"at_T": True, "last": True, "too_late": False}


def test_a_closed_entity_has_no_further_rows(make_events: Events) -> None:
    """A lead qualified or disqualified before T is not asked about again."""
    events = make_events(
        *_lead("won", created=0, qualified=5),
        *_lead("early", created=0, qualified=1),
        *_lead("out", created=0, disqualified=6),
        *_lead("open", created=0),
    )
    assert sorted(_rows(events, 100)) == [
        ("open", 2.0), ("open", 12.0), ("out", 2.0), ("won", 2.0),
    ]  # fmt: skip


def test_a_closing_that_nobody_knew_of_does_not_close(make_events: Events) -> None:
    """Disqualified on day 6, learnt on day 20: on day 12 the lead was still worked."""
    late = {"kind": "lead", "name": "disqualified", "lead": "l", "at": 6, "known": 20}
    events = make_events(*_lead("l", created=0), late)
    assert ("l", 12.0) in _rows(events, 100)


def test_without_a_delay_a_row_sees_its_anchor(make_events: Events) -> None:
    """T is the microsecond after it, and what happens at once is still ahead."""
    target = TARGET.model_copy(update={"delay_days": 0, "times": 1})
    events = make_events(*_lead("l", created=1), *_lead("m", created=1, qualified=1.5))
    rows = spine.training(target, events, DAY_0 + timedelta(days=100)).to_pylist()
    moment = DAY_0 + timedelta(days=1, microseconds=1)
    assert [(r["entity"], r["time"], r["label"]) for r in rows] == [
        ("l", moment, False), ("m", moment, True),
    ]  # fmt: skip


MOVES = Target.model_validate(
    {
        "name": "moves",
        "description": "",
        "entity": "opportunity",
        "anchor": {"kind": "opportunity", "names": ["created"]},
        "delay_days": 7,
        "every_days": 7,
        "times": 5,
        "horizon_days": 7,
        "label": {"kind": "stage"},
        "label_moves": "forward",
        "order": ["discovery", "evaluation", "proposal"],
        "closed_by": [{"kind": "outcome"}],
        "views": ["opportunity_progress"],
    }
)


def _moved(events: pa.Table, way: str = "forward", day: float = 100) -> list[bool]:
    target = MOVES.model_copy(update={"label_moves": way})
    return spine.training(target, events, DAY_0 + timedelta(days=day))["label"].to_pylist()


def _deal(**stages: float | tuple[float, float]) -> list[dict[str, Any]]:
    rows = [{"kind": "opportunity", "name": "created", "opportunity": "d", "at": 0}]
    for name, moment in stages.items():
        at, known = moment if isinstance(moment, tuple) else (moment, moment)
        row = {"name": name.split("_")[0], "opportunity": "d", "at": at, "known": known}
        rows.append({"kind": "outcome" if name == "won" else "stage", **row})
    return rows


def test_a_move_is_told_from_the_stage_in_which_it_began(make_events: Events) -> None:
    """A label that comes again closes nothing; the row of day 7 sees the move of day 8, and so
    on."""
    course = {"discovery": 0.1, "evaluation": 8, "discovery_2": 15, "proposal": 24, "won": 30}
    events = make_events(*_deal(**course))
    assert _moved(events) == [True, False, True, False]
    assert _moved(events, "backward") == [False, True, False, False]


def test_a_stage_counts_from_when_it_was_known(make_events: Events) -> None:
    """Entered on day 8, learnt on day 20: until then the deal stood in the first stage."""
    events = make_events(*_deal(evaluation=(8, 20), proposal=17, evaluation_2=22))
    assert _moved(events) == [True, True, False, False, False]
    assert _moved(events, "backward") == [False, False, True, False, False]


def test_a_move_that_is_not_known_yet_is_none(make_events: Events) -> None:
    events = make_events(*_deal(evaluation=(8, 60)))
    assert _moved(events, day=50)[0] is False
    assert _moved(events, day=70)[0] is True


def test_who_moves_on_is_still_scored(make_events: Events) -> None:
    """Mutant: a label that closed would leave out who has moved already."""
    events = make_events(*_deal(evaluation=8))
    assert spine.scoring(MOVES, events, DAY_0 + timedelta(days=20)).num_rows == 1
    closes = MOVES.model_copy(update={"label_moves": None})
    assert spine.scoring(closes, events, DAY_0 + timedelta(days=20)).num_rows == 0


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("seed", range(3))
def test_moves_are_what_plain_python_says(make_events: Events, seed: int, way: str) -> None:
    """Of deals whose stages are late, corrected and in no order."""
    rng = np.random.default_rng(seed)
    made = [dict(row, opportunity=f"d{n}", row_key=f"c{n}") for n in range(12) for row in _deal()]
    for _ in range(150):
        deal, at = int(rng.integers(0, 12)), float(rng.uniform(0, 45))
        row = {"kind": "stage", "name": str(rng.choice(MOVES.order)), "opportunity": f"d{deal}"}
        row |= {"at": at, "known": at + float(rng.choice([0, 0.5, 12]))}
        made.append(row | {"row_key": f"{deal}-{rng.integers(0, 8)}"})
    events = make_events(*made)
    target = MOVES.model_copy(update={"label_moves": way})
    rows = spine.training(target, events, DAY_0 + timedelta(days=48)).to_pylist()
    assert len(rows) > 50
    for row in rows:
        assert row["label"] == _plainly_moved(events, row, way, DAY_0 + timedelta(days=48))


def _plainly_moved(events: pa.Table, row: dict[str, Any], way: str, as_of: datetime) -> bool:
    mine = [e for e in events.to_pylist() if e["opportunity"] == row["entity"]]

    def standing(at: datetime) -> list[dict[str, Any]]:
        versions = sorted(
            (e for e in mine if e["known_at"] <= at), key=lambda e: (e["known_at"], e["event_id"])
        )
        latest = {e["row_key"]: e for e in versions}
        return [e for e in latest.values() if e["kind"] == "stage"]

    before = [e for e in standing(row["time"]) if e["event_time"] < row["time"]]
    before.sort(key=lambda e: (e["event_time"], e["known_at"], e["event_id"]))
    stood = MOVES.order.index(before[-1]["name"]) if before else 0
    ends = row["time"] + timedelta(days=MOVES.horizon_days)
    after = [e for e in standing(as_of) if row["time"] <= e["event_time"] < ends]
    ranks = [MOVES.order.index(e["name"]) for e in after]
    return any(rank > stood if way == "forward" else rank < stood for rank in ranks)


@pytest.mark.parametrize("is_mutant", [False, True])
def test_an_entity_that_nobody_knew_of_is_no_training_row(
    make_events: Events, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """Created on day 0, learnt on day 5: a scoring on day 2 would not have had it."""
    if is_mutant:
        monkeypatch.setattr(spine._Versions, "known_before", _whatever_is_known)
    late = {"kind": "lead", "name": "created", "lead": "l", "at": 0, "known": 5}
    rows = _rows(make_events(late), 100)
    assert (("l", 2.0) in rows) == is_mutant
    assert ("l", 12.0) in rows


@pytest.mark.parametrize(("day", "mature"), [(32.99, False), (33, True)])
def test_an_immature_row_is_neither_positive_nor_negative(
    make_events: Events, day: float, mature: bool
) -> None:
    """Maturity needs the whole horizon and the days to settle."""
    events = make_events(*_lead("l", created=0))
    assert _rows(events, day)[("l", 2.0)] == (False, mature)


def test_among_closed_leaves_out_what_stayed_open(make_events: Events) -> None:
    """Neither won nor lost within the horizon: no label at all."""
    target = TARGET.model_copy(update={"among_closed": True, "times": 1})
    events = make_events(
        *_lead("won", created=0, qualified=9),
        *_lead("lost", created=0, disqualified=9),
        *_lead("open", created=0),
    )
    rows = spine.training(target, events, DAY_0 + timedelta(days=90)).to_pylist()
    assert {r["entity"]: (r["label"], r["mature"]) for r in rows} == {
        "won": (True, True), "lost": (False, True), "open": (False, False),
    }  # fmt: skip


def test_scoring_rows_are_the_open_entities(make_events: Events) -> None:
    """Created by now, and neither labelled nor closed as known by now."""
    events = make_events(
        *_lead("open", created=1),
        *_lead("gone", created=1, disqualified=3),
        *_lead("won", created=1, qualified=3),
        *_lead("not_yet", created=9),
    )
    rows = spine.scoring(TARGET, events, DAY_0 + timedelta(days=5))
    assert rows["entity"].to_pylist() == ["open"]


@pytest.mark.parametrize("is_mutant", [False, True])
def test_a_correction_learnt_later_does_not_open_again(
    make_events: Events, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """Disqualified on day 6, taken back on day 20: on day 12 nobody worked the lead. Mutant: what
    was replaced never stood.
    """
    closing = {"kind": "lead", "lead": "l", "row_key": "closing", "at": 6}
    events = make_events(
        *_lead("l", created=0),
        {**closing, "name": "disqualified"},
        {**closing, "name": "updated", "known": 20},
    )
    if is_mutant:
        monkeypatch.setattr(spine._Versions, "known_before", _never_replaced)
    assert (("l", 12.0) in _rows(events, 100)) == is_mutant


def _never_replaced(versions: Any, rows: Any) -> Any:
    standing = versions.standing(spine.log.NEVER - 1)
    return KNOWN_BEFORE(standing, rows)


KNOWN_BEFORE = spine._Versions.known_before


def test_a_backfill_is_the_scoring_spines_of_its_moments(
    random_leads: Callable[[int], pa.Table],
) -> None:
    """Row by row, each as it would have been given then."""
    events = random_leads(1)
    moments = [DAY_0 + timedelta(days=day) for day in (40, 3, 17, 10)]
    each = [spine.scoring(TARGET, events, moment) for moment in moments]
    whole = pa.concat_tables(each).sort_by([("entity", "ascending"), ("time", "ascending")])
    assert spine.backfill(TARGET, events, moments).equals(whole)
    assert whole.num_rows > 20


@pytest.mark.parametrize("is_mutant", [False, True])
def test_nothing_known_after_a_moment_changes_its_spine(
    random_leads: Callable[[int], pa.Table], monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """Cut off, late and corrected events make no difference. Mutant: all that is known counts."""
    moment = DAY_0 + timedelta(days=20)
    if is_mutant:
        monkeypatch.setattr(spine._Versions, "known_before", _whatever_is_known)
        monkeypatch.setattr(spine._Versions, "standing", lambda versions, at: versions)
    same = []
    for seed in range(5):
        events = random_leads(seed)
        known = events.filter(pc.less_equal(events["known_at"], pa.scalar(moment)))
        for kind in (spine.training, spine.scoring):
            same.append(kind(TARGET, events, moment).equals(kind(TARGET, known, moment)))
    assert all(same) != is_mutant


def _whatever_is_known(versions: Any, rows: Any) -> Any:
    return KNOWN_BEFORE(replace(versions, known=versions.known * 0), rows)


def test_a_given_spine_has_the_rows_asked_for(make_events: Events) -> None:
    """Open or not, once its anchor is known; with the account known then; others are left out."""
    events = make_events(
        *_lead("gone", created=1, disqualified=3),
        {"kind": "lead", "name": "created", "lead": "moved", "row_key": "m", "at": 1},
        {"kind": "lead", "name": "created", "lead": "moved", "row_key": "m", "at": 1, "known": 8,
         "account": "b"},
    )  # fmt: skip
    days = [("moved", 9), ("moved", 5), ("gone", 5), ("gone", 1), ("nobody", 5)]
    asked = pa.table(
        {"entity": [e for e, _ in days], "time": [DAY_0 + timedelta(days=d) for _, d in days]},
        schema=spine.ASKED,
    )
    rows = spine.given(TARGET, events, asked).to_pylist()
    found = [(r["entity"], (r["time"] - DAY_0).days, r["account"]) for r in rows]
    assert found == [("gone", 5, "a"), ("moved", 5, "a"), ("moved", 9, "b")]


CONDITIONS = {
    "has": {"has": {"kind": "touch", "names": ["web_visit"]}},
    "has_not": {"has_not": {"kind": "touch", "names": ["web_visit"]}},
    "attribute": {"attribute": "segment", "one_of": ["large", "middle"]},
    "of account": {"attribute": "segment", "one_of": ["large", "middle"], "of": "account"},
}


@pytest.mark.parametrize(
    ("condition", "eligible"),
    [
        ("has", ["visited"]),
        ("has_not", ["grown", "late", "shrunk"]),
        ("attribute", ["grown"]),
        ("of account", ["grown", "late", "shrunk", "visited"]),
    ],
)
@pytest.mark.parametrize("is_mutant", [False, True])
def test_only_the_eligible_are_in_a_spine(
    make_events: Events, monkeypatch: pytest.MonkeyPatch, condition: str, eligible: list[str],
    is_mutant: bool,
) -> None:  # fmt: skip
    """As known at T = day 12: a visit learnt of later is none, an attribute as last told. Mutant:
    everybody is.
    """
    declared = {**TARGET.model_dump(mode="json"), "eligible": [CONDITIONS[condition]], "times": 1}
    target = Target.model_validate({**declared, "delay_days": 12})
    segment = {"kind": "attribute", "name": "segment"}
    leads = ("visited", "late", "grown", "shrunk")
    events = make_events(
        *(fact for lead in leads for fact in _lead(lead, created=0)),
        {"name": "web_visit", "lead": "visited", "at": 3},
        {"name": "web_visit", "lead": "late", "at": 3, "known": 12.5},
        {**segment, "lead": "grown", "text": "small", "at": 1},
        {**segment, "lead": "grown", "text": "large", "at": 5},
        {**segment, "lead": "shrunk", "text": "large", "at": 1},
        {**segment, "lead": "shrunk", "text": "small", "at": 5},
        {**segment, "text": "middle", "at": 11},
    )
    if is_mutant:
        monkeypatch.setattr(spine.eligible, "only", lambda target, events, rows: rows)
    at = DAY_0 + timedelta(days=12)
    found = [
        spine.training(target, events, at + timedelta(days=90)),
        spine.scoring(target, events, at),
        spine.backfill(target, events, [at]),
    ]
    expected = sorted(leads) if is_mutant else eligible
    assert [rows["entity"].to_pylist() for rows in found] == [expected] * 3


def test_texts_as_dictionaries_give_the_same_spine(random_leads: Callable[[int], pa.Table]) -> None:
    """As they are read from files."""
    events = random_leads(2)
    words = [n for n in events.column_names if pa.types.is_string(events.schema.field(n).type)]
    coded = events
    for name in words:
        place = coded.column_names.index(name)
        coded = coded.set_column(place, name, events[name].dictionary_encode())
    at = DAY_0 + timedelta(days=30)
    assert spine.training(TARGET, coded, at).equals(spine.training(TARGET, events, at))
