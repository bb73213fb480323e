"""Child of the test: a process that loads the models of a workspace and answers its first requests.

Prints as JSON, per request, the kernels that it had to compile or read from disk. With `cold` as
second argument the service is a mutant: it does not warm.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
from numba.core.dispatcher import Dispatcher

from cluster.settings import Settings
from cluster.workspace import Workspace
from features import log
from serving.answer.questions import Question
from serving.answer.service import DecisionService
from serving.answer.ticket import Answered
from serving.slots.slot import Answer, Slot

ANSWERS = {
    "lead": Answer(target="lead_qualification", policy="lead_routing"),
    "opportunity": Answer(target="opportunity_win", policy="deal_routing"),
}
ARRIVED = "lead-arrived"


def main(home: Path, is_warm: bool) -> None:
    """Answer about a lead, a deal and an account, with events of the request and in the tail."""
    with Workspace.open(Settings(home=home, buckets=4)) as workspace:
        if not is_warm:
            DecisionService._warm = lambda self: None  # type: ignore[method-assign]
            Slot.warm = lambda self: None  # type: ignore[method-assign]
        service = DecisionService(workspace, ANSWERS)
        said = {name: _new(service, asked) for name, asked in _questions(workspace).items()}
        _arrive(service, ARRIVED)
        said["lead that arrived"] = _new(service, Question(kind="lead", key=ARRIVED))
    os.write(sys.stdout.fileno(), json.dumps(said).encode())


def _questions(workspace: Workspace) -> dict[str, Question]:
    rows = workspace.tables.read("scores_lead_qualification").to_pylist()
    row = next(each for each in rows if each["account"])
    at, account = row["time"], row["account"]
    visit = {"kind": "touch", "name": "pricing_visit", "event_time": at - timedelta(hours=1),
             "lead": row["entity"], "account": account}  # fmt: skip
    events = workspace.tables.read(log.TABLE)
    deals = events.filter(log.named(events, "opportunity", ("created",)))
    deal = deals.filter(pc.less(deals["known_at"], at))["opportunity"][0].as_py()
    return {
        "lead": Question(kind="lead", key=row["entity"], as_of=at),
        "lead with events": Question(kind="lead", key=row["entity"], as_of=at, events=(visit,)),
        "opportunity": Question(kind="opportunity", key=deal, as_of=at),
        "account": Question(kind="account", key=account, as_of=at),
        "account with events": Question(kind="account", key=account, as_of=at, events=(visit,)),
    }


def _new(service: DecisionService, asked: Question) -> list[str]:
    """Return the kernels that were not there before an answer."""
    before = _kernels()
    answer = service.decide(asked, deadline_ms=10_000)
    assert isinstance(answer, Answered), answer
    assert answer.body["fallback"] is None, answer.body["fallback"]
    return sorted(_kernels() - before)


def _arrive(service: DecisionService, lead: str) -> None:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/forms",
        "type": "funnelcast.lead.created",
        "time": "2026-02-20T10:00:00Z",
        "data": {"lead": lead, "account": "new"},
    }
    outcomes = service.arrive(json.dumps(event).encode(), is_batch=False)
    assert isinstance(outcomes, list), outcomes
    assert {outcome.status for outcome in outcomes} == {"accepted"}


def _kernels() -> set[str]:
    """Return every kernel of ours with the kinds of arrays that it is there for."""
    every = [each for each in gc.get_objects() if isinstance(each, Dispatcher)]
    ours = [d for d in every if d.__module__.startswith(("features.", "serving."))]
    return {f"{d.__module__}.{d.__name__}{types}" for d in ours for types in d.overloads}


if __name__ == "__main__":
    main(Path(sys.argv[1]), "cold" not in sys.argv)
