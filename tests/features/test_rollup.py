"""Views of campaigns, reps and segments over all buckets of a log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features import asof, compute, log, rollup
from features.views import view

if TYPE_CHECKING:
    from cluster.workspace import Workspace

START = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
MOMENTS = rollup.moments_of(START, START + timedelta(days=40), timedelta(days=7))

type Make = Callable[..., pa.Table]


def _events(make: Make) -> pa.Table:
    """Touches, work and outcomes of forty accounts in two industries, one of which moves."""
    rows: list[dict[str, Any]] = []
    for n in range(40):
        account = f"account-{n}"
        rows.append({"at": 0, "account": account, "kind": "attribute", "name": "industry",
                     "text": "retail" if n % 2 else "software"})  # fmt: skip
        for k in range(6):
            at, late = (n * 7 + k * 5) % 35, (n + k) % 3
            common = {"at": at, "known": at + late, "account": account, "rep": f"rep-{n % 3}"}
            rows.append({**common, "name": "email_sent", "campaign": f"campaign-{k % 2}"})
            rows.append({**common, "kind": "activity", "name": "call"})
        won = "won" if n % 4 else "lost"
        rows.append({"at": 20, "account": account, "kind": "outcome", "name": won, "number": n,
                     "rep": f"rep-{n % 3}", "opportunity": f"deal-{n}"})  # fmt: skip
    moved = {"kind": "attribute", "name": "industry", "text": "retail"}
    rows.append({"at": 18, "account": "account-0", **moved})
    return make(*rows)


@pytest.fixture
def filled(workspace: Workspace, make_events: Make) -> pa.Table:
    """Write the events to the log of a workspace, spread over its buckets."""
    events = _events(make_events)
    log.create(workspace.tables, 4)
    workspace.tables.append(log.TABLE, events)
    return events


def _made(workspace: Workspace, name: str) -> pa.Table:
    told: list[tuple[int, int]] = []
    rollup.rollup(workspace, view(name), MOMENTS, lambda done, total, _: told.append((done, total)))
    assert told == [(n, 4) for n in range(1, 5)]
    order = [("entity", "ascending"), ("event_time", "ascending")]
    return workspace.tables.read(rollup.table_of(view(name))).sort_by(order)


@pytest.mark.parametrize(
    ("name", "entities"),
    [
        ("campaign_response", ["campaign-0", "campaign-1"]),
        ("rep_workload", ["rep-0", "rep-1", "rep-2"]),
    ],
)
def test_all_buckets_count(
    workspace: Workspace, filled: pa.Table, name: str, entities: list[str]
) -> None:
    """As if the log were one bucket. Mutant: a bucket less is something else."""
    made = _made(workspace, name)
    spine = rollup._spine(entities, MOMENTS)
    whole = compute.compute(view(name), filled, spine)
    assert made["entity"].to_pylist() == whole["entity"].to_pylist()
    assert made.select(view(name).columns).equals(whole.select(view(name).columns))
    first = filled.filter(pc.is_in(filled["account"], pa.array(["account-1", "account-2"])))
    less = compute.compute(view(name), first, spine)
    assert not made.select(view(name).columns).equals(less.select(view(name).columns))


def test_segments_are_those_of_the_time(workspace: Workspace, filled: pa.Table) -> None:
    """An account that moves takes nothing along; its later events count where it is then."""
    made = _made(workspace, "industry_outcomes")
    last = made.filter(pc.equal(made["event_time"], pa.scalar(MOMENTS[-1], log.MICROSECONDS)))
    won = dict(zip(last["entity"].to_pylist(), last["industry_won_cents_90d"].to_pylist(),
                   strict=True))  # fmt: skip
    retail = [n for n in range(40) if (n % 2 or n == 0) and n % 4]
    software = [n for n in range(40) if n % 2 == 0 and n and n % 4]
    assert won == {"retail": sum(retail), "software": sum(software)}
    rates = last["industry_win_rate_180d"].to_pylist()
    assert rates == [len(retail) / 21, len(software) / 19]


def test_a_rollup_joins_a_spine_as_of_its_time(workspace: Workspace, filled: pa.Table) -> None:
    """What was computed at a moment is seen after it, not at it."""
    made = _made(workspace, "campaign_response")
    times = pa.array([MOMENTS[2], MOMENTS[2] + timedelta(hours=1)], log.MICROSECONDS)
    spine = pa.table({"entity": ["campaign-0", "campaign-0"], "time": times})
    seen = asof.join(spine, made, ["campaign_touches_30d"])["campaign_touches_30d"].to_pylist()
    of = made.filter(pc.equal(made["entity"], "campaign-0"))["campaign_touches_30d"].to_pylist()
    assert seen == [of[1], of[2]]
    assert of[1] < of[2]


def test_an_empty_log_has_no_campaigns(workspace: Workspace, make_events: Make) -> None:
    """A log without the entity makes a table without rows."""
    log.create(workspace.tables, 4)
    workspace.tables.append(log.TABLE, make_events({"at": 1}))
    rollup.rollup(workspace, view("campaign_response"), MOMENTS, lambda *_: None)
    assert workspace.tables.read("rollup_campaign_response").num_rows == 0
