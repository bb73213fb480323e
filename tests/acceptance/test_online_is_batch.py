"""What is served is what batch scoring gives, to the bit, with events that came late and were
corrected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from cluster.workspace import Workspace
from features import compute, log, spine
from features.arrivals import pending
from serving.answer.questions import Question
from serving.answer.service import DecisionService
from serving.answer.ticket import Answered
from serving.decide import decide
from serving.slots.slot import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings

LEAD = Answer(target="lead_qualification", policy="lead_routing")
ARRIVALS = 120  # as many again are corrections of them
COMPARED = ("probability", "low", "high", "margin", "points")


@pytest.fixture(scope="module")
def service(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DecisionService]:
    """Return a service over a copy of the small world, to which events came late."""
    home: Path = tmp_path_factory.mktemp("batch") / "home"
    with Workspace.open(copied(home)) as workspace:
        made = DecisionService(workspace, {"lead": LEAD})
        _send_late(made)
        yield made
        made.close()


def _send_late(service: DecisionService) -> None:
    rows = service.workspace.tables.read("scores_lead_qualification").to_pylist()
    for correction in (0, 1):
        for first in range(0, ARRIVALS, 40):
            sent = [_event(rows[n % len(rows)], n, correction) for n in range(first, first + 40)]
            outcomes = service.arrive(json.dumps(sent).encode(), is_batch=True)
            assert isinstance(outcomes, list), outcomes
            assert {outcome.status for outcome in outcomes} == {"accepted"}


def _event(row: dict[str, Any], number: int, correction: int) -> dict[str, Any]:
    at = row["time"] - timedelta(days=number % 20, minutes=number + 90 * correction)
    kind = ("pricing_visit", "web_visit")[(number + correction) % 2]
    return {
        "specversion": "1.0",
        "id": f"late-{number}",
        "source": "/late",
        "type": f"funnelcast.touch.{kind}",
        "time": at.isoformat(),
        "data": {"lead": row["entity"], "account": row["account"], "number": number},
    }


@pytest.mark.parametrize("count", [250, pytest.param(10_000, marks=pytest.mark.drill)])
def test_what_is_served_is_what_the_batch_gives(service: DecisionService, count: int) -> None:
    """Leads and moments at random, the last of them after all that came late: 0 mismatches."""
    asked = _asked(service, count)
    served = _served(service, asked)
    wrong = _mismatches(service, asked, served)
    assert len(served) >= 0.9 * count
    assert wrong == []


def test_without_what_came_late_the_batch_gives_something_else(service: DecisionService) -> None:
    """The comparison has teeth: late events count."""
    now = service.workspace.clock()
    rows = service.workspace.tables.read("scores_lead_qualification").to_pylist()
    asked = [(row["entity"], now) for row in rows[:40]]
    events = service.workspace.tables.read(log.TABLE)
    assert _mismatches(service, asked, _served(service, asked), events)


def _asked(service: DecisionService, count: int) -> list[tuple[str, datetime]]:
    """Return leads of the log that may be scored and moments at which to ask, each pair once."""
    rng = np.random.default_rng(7)
    events = service.workspace.tables.read(log.TABLE)
    named = events["lead"].drop_null().unique()
    refused = service.keeper.look().are_refused(named)
    leads = sorted(named.filter(pa.array(~refused)).to_pylist())
    times = log.microseconds(events["event_time"])
    spread = np.quantile(times, np.linspace(0.3, 1.0, 40)).astype(int).tolist()
    moments = [datetime.fromtimestamp(each / 1e6).astimezone() for each in spread]
    moments.append(service.workspace.clock())
    pairs = {
        (leads[int(rng.integers(len(leads)))], moments[int(rng.integers(len(moments)))])
        for _ in range(2 * count)
    }
    known = _rows(service, sorted(pairs), _all_events(service))
    found = zip(known["entity"].to_pylist(), known["time"].to_pylist(), strict=True)
    return list(found)[:count]


def _all_events(service: DecisionService) -> pa.Table:
    """Return the log and what waits to be folded into it."""
    workspace = service.workspace
    waiting = pending.waiting(workspace.database, 1_000_000).events
    return pa.concat_tables([workspace.tables.read(log.TABLE), waiting], promote_options="default")


def _rows(
    service: DecisionService, asked: list[tuple[str, datetime]], events: pa.Table
) -> pa.Table:
    """Return the spine of those whose anchor is known by then."""
    slot = service.slots.of("lead")
    assert slot is not None
    names, times = zip(*asked, strict=True)
    table = pa.table({"entity": list(names), "time": list(times)}, schema=spine.ASKED)
    return spine.given(slot.target, events, table)


def _served(
    service: DecisionService, asked: list[tuple[str, datetime]]
) -> dict[tuple[str, datetime], dict[str, Any]]:
    def ask(pair: tuple[str, datetime]) -> dict[str, Any]:
        question = Question(kind="lead", key=pair[0], as_of=pair[1], reasons=False)
        outcome = service.decide(question, deadline_ms=10_000)
        assert isinstance(outcome, Answered), str(outcome)
        assert outcome.body["fallback"] is None
        return outcome.body

    with ThreadPoolExecutor(8) as pool:
        return dict(zip(asked, pool.map(ask, asked), strict=True))


def _mismatches(
    service: DecisionService,
    asked: list[tuple[str, datetime]],
    served: dict[tuple[str, datetime], dict[str, Any]],
    events: pa.Table | None = None,
) -> list[str]:
    """Return what the engine of batches gives otherwise, over the whole log at once."""
    slot = service.slots.of("lead")
    assert slot is not None
    events = _all_events(service) if events is None else events
    rows = compute.compute(
        slot.program.view, events.select(compute.COLUMNS), _rows(service, asked, events)
    )
    made = decide(
        slot.model, slot.policy, rows, service.workspace.clock(), basis=slot.basis, reasons=False
    )
    found = []
    for each in made:
        body = served[each.entity, each.time]
        wrong = [name for name in COMPARED if getattr(each, name) != body[name]]
        wrong += ["features"] if dict(each.features) != body["features"] else []
        wrong += ["route"] if each.verdict.route != body["verdict"]["route"] else []
        found += [f"{each.entity} at {each.time}: {wrong}"] if wrong else []
    return found
