"""Child of the drill: a plan over a small log, in one process after another, each to be killed.

Prints the process that does the work, which is the one to kill, when it begins, and again when its
first bucket does, then its exit status; another takes its place until one comes to its end. A line
goes into the file `begun` of the home folder for every bucket that is begun. With `forget` as third
argument the workers are mutants: they heed no record.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster.settings import Settings
from cluster.workspace import Workspace
from features import content, engine, log
from features.plan import Plan
from features.targets import load_target

if TYPE_CHECKING:
    from cluster.parts import Part

BUCKETS = 8
LEADS = 240
WORKER, BUCKET, ENDED = "worker ", "bucket ", "ended "
SLOW_S = 0.05  # of a bucket, beside its work: else a kill would hardly meet one
AS_OF = datetime(2024, 12, 1, tzinfo=UTC)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000  # microseconds


def settings(home: Path, buckets: int = BUCKETS) -> Settings:
    """Return settings of a workspace whose log has so many buckets."""
    return Settings(home=home, buckets=buckets)


def fill(workspace: Workspace) -> None:
    """Put leads that visit, and of which some qualify, into an empty log."""
    log.create(workspace.tables, workspace.settings.buckets)
    events = [event for lead in range(LEADS) for event in _of_lead(lead)]
    columns: dict[str, Any] = {key: [event[key] for event in events] for key in events[0]}
    times = pa.array(columns.pop("at")).cast(log.MICROSECONDS)
    columns |= {"event_time": times, "known_at": times, "source": ["test"] * len(events)}
    full = {f.name: columns.get(f.name, pa.nulls(len(events), f.type)) for f in log.CANDIDATE}
    workspace.tables.append(log.TABLE, log.identified(pa.table(full).cast(log.CANDIDATE)))


def _of_lead(lead: int) -> list[dict[str, Any]]:
    start = round(FIRST.timestamp()) * 1_000_000 + lead * DAY
    facts = [("lead", "created", 0), *(("touch", "web_visit", n + 1) for n in range(lead % 5))]
    facts += [("lead", "qualified", 20)] if lead % 3 == 0 else []
    return [
        {
            "row_key": f"{lead}-{name}-{day}",
            "kind": kind,
            "name": name,
            "at": start + day * DAY,
            "lead": f"lead-{lead}",
            "account": f"account-{lead % 200}",
        }
        for kind, name, day in facts
    ]


def plan(workspace: Workspace, **changes: Any) -> Plan:
    """Return the training rows of leads in the log."""
    said = {
        "target": load_target("lead_qualification"),
        "purpose": "training",
        "as_of": AS_OF,
        "snapshot": log.pinned(workspace.tables),
    }
    return Plan(**(said | changes))


def quiet(done: int, total: int, what: str) -> None:
    """Tell nothing."""


def work(home: Path, runner: str, *, forgets: bool) -> None:
    """Do the plan, slowly, and tell of the buckets that are begun."""
    rows_of, resume = Plan.rows_of, engine.Parts.resume
    begun = home / "begun"

    def counted(mine: Plan, events: pa.Table) -> pa.Table:
        if not begun_here:
            say(f"{BUCKET}{os.getpid()}")
        begun_here.append(mine)
        with begun.open("a") as file:
            file.write("bucket\n")
        time.sleep(SLOW_S)
        return rows_of(mine, events)

    def nothing(parts: Any, work: str, now: datetime) -> list[Part]:
        return resume(parts, work, now) if len(begun_here) == buckets else []

    begun_here: list[Plan] = []
    with Workspace.open(settings(home)) as workspace:
        buckets = len(workspace.tables.buckets(log.TABLE))
        if runner == "inline":
            Plan.rows_of = counted  # type: ignore[method-assign]
        if forgets:
            engine.Parts.resume = nothing  # type: ignore[method-assign]
        say(f"{WORKER}{os.getpid()}")
        engine.materialize(workspace, plan(workspace), runner, quiet)


def say(line: str) -> None:
    """Write a line at once, so that no kill can hold it back."""
    os.write(1, f"{line}\n".encode())


def main(home: Path, runner: str = "inline", mutant: str = "") -> None:
    """Start one worker after the other until one comes to its end; imports cost once."""
    content.of(pa.table({"compiled": ["before the fork"]}))
    status = -1
    while status:
        worker = os.fork()
        if not worker:
            work(home, runner, forgets=mutant == "forget")
            os._exit(0)
        _, status = os.waitpid(worker, 0)
        say(f"{ENDED}{status}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
