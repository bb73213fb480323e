"""Person-period tables: weeks on their own clock, as known at T."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from features import log
from serving.forecast import history, start

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
SCHEMA = pa.schema([log.SCHEMA.field(name) for name in history.COLUMNS])


def day(number: float) -> datetime:
    """Return a moment, in days since the first Monday."""
    return MONDAY + timedelta(days=number)


def event(what: str, at: float, known: float | None = None, **keys: Any) -> dict[str, Any]:
    """Return one event; without `known` it is known at once."""
    kind, name = what.split(".")
    identity = f"{what}:{keys.get('opportunity')}:{keys.get('lead')}:{at}"
    moments = {"event_time": day(at), "known_at": day(at if known is None else known)}
    event_id = hashlib.blake2b(f"{identity}:{known}".encode(), digest_size=16).digest()
    base = dict.fromkeys(SCHEMA.names) | {"row_key": identity, "event_id": event_id}
    return base | {"kind": kind, "name": name} | moments | keys


def read(events: list[dict[str, Any]], at: float) -> history.History:
    """Return the history of the events as known on a day."""
    return history.read(pa.Table.from_pylist(events, SCHEMA), day(at))


DEAL = [
    event("opportunity.created", 0.0, opportunity="a", number=500),
    event("stage.discovery", 0.0, opportunity="a"),
    event("stage.evaluation", 8.0, opportunity="a"),
    event("activity.call", 15.0, opportunity="a", number=60),
    event("stage.discovery", 16.0, opportunity="a"),
    event("outcome.won", 30.0, opportunity="a", number=600),
]


def test_a_deal_has_one_row_per_whole_week() -> None:
    weeks = read(DEAL, 100.0).deal_weeks
    assert weeks["week"].tolist() == [0, 1, 2, 3, 4]
    assert weeks["stage"].tolist() == ["discovery"] * 2 + ["evaluation"] + ["discovery"] * 2
    assert weeks["weeks_in_stage"].tolist() == [0, 1, 0, 0, 1]
    assert weeks["outcome"].tolist() == ["stay", "advance", "regress", "stay", "won"]
    assert weeks["touched"].tolist() == [False, False, True, False, False]
    assert weeks["cents"].tolist() == [500] * 5


def test_an_event_at_exactly_seven_days_belongs_to_week_one() -> None:
    events = [
        event("opportunity.created", 0.0, opportunity="a"),
        event("outcome.lost", 7.0, opportunity="a"),
    ]
    assert read(events, 50.0).deal_weeks["outcome"].tolist() == ["stay", "lost"]


def test_a_week_that_the_moment_cuts_short_is_left_out() -> None:
    weeks = read(DEAL, 31.0).deal_weeks
    assert weeks["outcome"].tolist() == ["stay", "advance", "regress", "stay"]


@pytest.mark.parametrize(("at", "open_deals"), [(30.0, 1), (30.1, 0)])
def test_an_event_at_the_moment_itself_is_not_known_before_it(at: float, open_deals: int) -> None:
    assert start.at(read(DEAL, at)).deals.size == open_deals


def late_events() -> list[dict[str, Any]]:
    """Return the deal with a correction of its amount and an outcome that are learnt on day 60."""
    correction = DEAL[0] | {"number": 900, "known_at": day(60.0), "event_id": b"z" * 16}
    learnt = DEAL[5] | {"known_at": day(60.0)}
    return [*DEAL[:5], learnt, correction]


def test_what_is_learnt_later_changes_nothing_before() -> None:
    began = start.at(read(late_events(), 50.0))
    truncated = start.at(read(DEAL[:5], 50.0))
    assert began.deals.tolist() == truncated.deals.tolist()
    assert began.deals["cents"].tolist() == [500]
    assert start.at(read(late_events(), 60.0)).deals.size == 0


def test_without_known_at_the_future_would_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "visible", lambda events, at: events)
    began = start.at(read(late_events(), 50.0))
    assert began.deals.tolist() != start.at(read(DEAL[:5], 50.0)).deals.tolist()


def test_a_corrected_row_counts_once_and_as_corrected() -> None:
    past = read(late_events(), 70.0)
    assert past.deals["cents"].tolist() == [900]
    assert past.deals["end_cents"].tolist() == [600]


def test_the_state_at_the_moment_is_stage_and_whole_weeks_in_it() -> None:
    deals = start.at(read(DEAL, 15.5)).deals
    assert (deals["stage"].tolist(), deals["weeks"].tolist()) == ([1], [1])


LEADS = [
    event("lead.created", 0.0, lead="x"),
    event("intervention.outreach", 9.0, lead="x", text="treated", number=500_000),
    event("lead.qualified", 45.0, lead="x", opportunity="b"),
    event("lead.created", 1.0, lead="y"),
    event("lead.disqualified", 3.0, lead="y", text="no_need"),
    event("lead.created", 2.0, lead="z"),
    event("opportunity.created", 12.0, lead="z", opportunity="c", number=10),
]


def test_a_lead_has_rows_until_it_ends() -> None:
    weeks = read(LEADS, 100.0).lead_weeks.set_index("lead")
    assert weeks.loc["x", "outcome"].tolist() == ["stay"] * 6 + ["qualified"]
    assert weeks.loc["y", "outcome"] == "disqualified"
    assert weeks.loc["z", "outcome"].tolist() == ["stay", "qualified"]


def test_a_contact_counts_for_four_weeks() -> None:
    weeks = read(LEADS, 100.0).lead_weeks.set_index("lead")
    assert weeks.loc["x", "contacted"].tolist() == [False] * 2 + [True] * 4 + [False]


def test_changes_of_one_moment_end_in_the_furthest_stage() -> None:
    events = [
        event("stage.proposal", 5.0, opportunity="a"),
        event("stage.evaluation", 5.0, opportunity="a"),
        event("opportunity.created", 5.0, opportunity="a", number=1),
    ]
    assert start.at(read(events, 6.0)).deals["stage"].tolist() == [2]


def test_an_empty_log_gives_empty_tables() -> None:
    past = read([], 10.0)
    assert isinstance(past.deal_weeks, pd.DataFrame)
    assert (len(past.deal_weeks), len(past.lead_weeks), start.at(past).leads.size) == (0, 0, 0)
