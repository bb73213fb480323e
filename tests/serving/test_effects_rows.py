"""Rows of lots from a log: which count, what came of them, and that nothing later is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from cluster.errors import WrongUse
from features import log
from serving.effects import encoded, rows
from serving.forecast import units
from serving.forecast.funnels import load_funnel
from tests.serving.effects_rows import definition

if TYPE_CHECKING:
    from serving.effects.definition import Definition
    from serving.effects.rows import Rows

SALES = load_funnel("sales")
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
REPLY = {"name": "response", "events": {"kind": "touch", "names": ["email_replied"]}}
VISIT = {"name": "visited", "events": {"kind": "touch", "names": ["web_visit"]}, "days": 7}
HISTORY = {
    "events": {"kind": "activity", "names": ["call"]},
    "anchor": {"kind": "lead", "names": ["created"]},
    "within_days": 7,
}


def event(what: str, at: float, lead: str, **more: Any) -> dict[str, Any]:
    """Return one event of a lead, known at once unless `known` says when."""
    kind, name = what.split(".")
    known = more.pop("known", at)
    row = more.pop("row", f"{what} {lead} {at}")
    about = {"row_key": row, "source": "test", "kind": kind, "name": name, "lead": lead}
    moments = (MONDAY + timedelta(days=each) for each in (at, known))
    return {**about, **dict(zip(("event_time", "known_at"), moments, strict=True)), **more}


def lot(lead: str, at: float, text: str = "treated", **more: Any) -> dict[str, Any]:
    """Return a lot of a lead."""
    return event("intervention.outreach", at, lead, text=text, **{"number": 250_000, **more})


def found(events: list[dict[str, Any]], at: float = 60.0, asked: Definition | None = None) -> Rows:
    """Return the rows as known on a day."""
    told = log.identified(pa.Table.from_pylist(events, log.CANDIDATE))
    moment = MONDAY + timedelta(days=at)
    asked = asked or definition(outcomes=[REPLY], negative_controls=[VISIT])
    return rows.rows(asked, told, moment, units.read(told, SALES, moment))


BORN = event("lead.created", 1.0, "x")


def test_the_first_lot_counts_with_its_chance() -> None:
    of = found([BORN, lot("x", 9.0), lot("x", 5.0, "control", number=200_000)])
    assert of.arm.tolist() == [0] and of.chance.tolist() == [[0.8, 0.2]]
    assert of.followed.tolist() == [55.0]


def test_a_lot_of_the_arm_that_was_drawn() -> None:
    arms = {"control": ["control"], "a": ["a"], "b": ["b"]}
    asked = definition(lots={"events": {"kind": "intervention"}, "arms": arms, "chance": "drawn"})
    of = found([BORN, lot("x", 5.0, "b", number=400_000)], asked=asked)
    assert of.arm.tolist() == [2] and of.chance[0].tolist() == pytest.approx([0.3, 0.3, 0.4])


def test_without_a_chance_it_is_not_a_number() -> None:
    of = found([BORN, lot("x", 5.0, number=None)])
    assert np.isnan(of.chance).all()


@pytest.mark.parametrize(
    ("then", "forward", "lost"),
    [
        (event("lead.qualified", 12.0, "x", opportunity="a"), 7.0, np.inf),
        (event("opportunity.created", 12.0, "x", opportunity="a"), 7.0, np.inf),
        (event("lead.disqualified", 12.0, "x"), np.inf, 7.0),
    ],
)
def test_what_comes_of_a_lot(then: dict[str, Any], forward: float, lost: float) -> None:
    of = found([BORN, lot("x", 5.0), then])
    assert of.causes["forward"].tolist() == [forward] and of.causes["lost"].tolist() == [lost]


def test_what_comes_second_did_not_come() -> None:
    events = [
        BORN,
        lot("x", 5.0),
        event("lead.qualified", 12.0, "x", opportunity="a"),
        event("outcome.lost", 20.0, "x", opportunity="a"),
    ]
    of = found(events)
    assert (of.causes["forward"][0], of.causes["lost"][0]) == (7.0, np.inf)


def test_who_had_not_begun_or_had_ended_does_not_count() -> None:
    early, gone = event("lead.created", 7.0, "y"), event("lead.disqualified", 4.0, "z")
    events = [early, lot("y", 6.0), event("lead.created", 1.0, "z"), gone, lot("z", 5.0)]
    assert len(found([BORN, *events, lot("nobody", 5.0)])) == 0


def test_what_is_not_known_yet_is_not_counted() -> None:
    events = [
        BORN,
        lot("x", 5.0),
        event("lead.qualified", 12.0, "x", known=30.0, opportunity="a"),
        event("touch.email_replied", 6.0, "x", known=30.0),
        event("lead.created", 2.0, "y"),
        lot("y", 6.0, "control", known=30.0),
    ]
    before, after = found(events, 29.0), found(events, 31.0)
    assert before.causes["forward"].tolist() == [np.inf]
    assert before.outcomes["response"].first(1).tolist() == [np.inf]
    assert after.arm.tolist() == [1, 0] and after.causes["forward"].tolist() == [7.0, np.inf]
    assert after.outcomes["response"].first(2).tolist() == [1.0, np.inf]


def test_a_lot_that_was_corrected_counts_as_corrected() -> None:
    events = [BORN, lot("x", 5.0, row="one"), lot("x", 5.0, "control", row="one", known=9.0)]
    assert found(events).arm.tolist() == [0]
    assert found(events, 8.0).arm.tolist() == [1]


def test_outcomes_come_after_and_negative_controls_before() -> None:
    visits = [event("touch.web_visit", at, "x") for at in (-3.0, 2.0, 6.0)]
    replies = [event("touch.email_replied", at, "x") for at in (4.0, 8.0, 9.0)]
    of = found([BORN, lot("x", 5.0), *visits, *replies])
    assert of.outcomes["response"].first(1).tolist() == [3.0]
    assert of.before["visited"].before(1, 7.0).tolist() == [True]
    assert of.before["visited"].before(1, 2.0).tolist() == [False]


def test_sums_are_within_the_horizon_its_end_included() -> None:
    paid = [event("touch.bought", at, "x", number=n) for at, n in ((4.0, 1), (7.0, 10), (9.0, 100))]
    spent = {"name": "spent", "events": {"kind": "touch"}, "measure": "sum"}
    of = found([BORN, lot("x", 5.0), *paid], asked=definition(outcomes=[spent], funnel=None))
    assert of.outcomes["spent"].total(1, 0.0, 2.0).tolist() == [10.0]
    assert of.outcomes["spent"].total(1, 0.0, 4.0).tolist() == [110.0]


def test_history_is_followed_from_its_landmark() -> None:
    """Who is treated late, or is gone before the landmark, is not treated for having lasted."""
    events = [
        *(event("lead.created", 1.0, lead) for lead in "abcd"),
        event("activity.call", 3.0, "a"),
        event("activity.call", 9.0, "b"),  # after the week: control
        event("activity.call", 3.0, "c"),
        event("lead.disqualified", 5.0, "c"),  # gone before it could be followed
        event("lead.disqualified", 6.0, "d"),
        event("lead.qualified", 12.0, "b", opportunity="o"),
    ]
    of = found(events, asked=definition(lots=HISTORY))
    assert of.entity.tolist() == ["a", "b"] and of.arm.tolist() == [1, 0]
    assert of.causes["forward"].tolist() == [np.inf, 4.0]
    assert of.followed.tolist() == [52.0, 52.0]


def test_leads_of_one_account_are_one_cluster() -> None:
    events = [
        event(what, at, lead, account=account, **more)
        for lead, account in (("a", "k"), ("b", "k"), ("c", None), ("d", None), ("e", "m"))
        for what, at, more in (
            ("lead.created", 1.0, {}),
            ("intervention.outreach", 5.0, {"text": "treated", "number": 500_000}),
        )
    ]
    cluster = found(events).cluster
    assert cluster[0] == cluster[1] and len(set(cluster.tolist())) == 4


def test_the_pool_is_whoever_was_born() -> None:
    events = [BORN, event("lead.created", 3.0, "y"), event("lead.qualified", 9.0, "y",
                                                           opportunity="o")]  # fmt: skip
    told = log.identified(pa.Table.from_pylist(events, log.CANDIDATE))
    moment = MONDAY + timedelta(days=60)
    of = rows.pool(definition(), told, moment, units.read(told, SALES, moment))
    assert len(of) == 2 and of.arm.tolist() == [0, 0]
    assert sorted(of.causes["forward"].tolist())[0] == pytest.approx(6.0)


def test_rows_that_are_left_out_take_their_events_with_them() -> None:
    events = [BORN, lot("x", 5.0), event("lead.created", 1.0, "y"), lot("y", 6.0),
              event("touch.email_replied", 8.0, "y")]  # fmt: skip
    of = found(events)
    kept = of.filter(of.entity == "y")
    assert len(kept) == 1 and kept.outcomes["response"].first(1).tolist() == [2.0]


def test_features_are_joined_by_entity_and_texts_become_columns() -> None:
    of = found([BORN, lot("x", 5.0), event("lead.created", 1.0, "y"), lot("y", 6.0)])
    known = pa.table(
        {"entity": ["y", "x"], "time": of.asked["time"], "origin": ["ad", None], "visits": [3, 1]}
    )
    got = encoded.encoded(of, known, ["origin", "visits"])
    assert got.names == ("origin=unknown", "origin=ad", "visits")
    assert got.features is not None and got.features.tolist() == [[1, 0, 1], [0, 1, 3]]
    assert got.segments is not None and got.segments["origin"].tolist() == ["unknown", "ad"]
    few = encoded.encoded(of, known.slice(0, 1), [])
    assert few.entity.tolist() == ["y"]


def test_a_cost_is_of_one_unit() -> None:
    """A dollar is no reply: who gains more than it costs must be asked of one of them."""
    reply = REPLY | {"targeting": True}
    spend = {**reply, "name": "spend", "measure": "sum", "unit": "dollars"}
    assert definition(outcomes=[reply, spend]).cost == 0.0
    assert definition(outcomes=[spend], cost=0.2).cost == 0.2
    with pytest.raises(WrongUse, match="a cost is in the unit of what is targeted"):
        definition(outcomes=[reply, spend], cost=0.2)


def test_numbers_are_cut_in_three() -> None:
    words = encoded.segmented(pa.chunked_array([list(range(9))]))
    assert [words.tolist().count(each) for each in dict.fromkeys(words)] == [3, 3, 3]
    assert encoded.segmented(pa.chunked_array([[0, 1, None]])).tolist() == ["0", "1", "unknown"]
