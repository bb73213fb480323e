"""A backfill on Ray beside the same one in this process: what the runner costs.

The log is one of the synthetic company. Every run writes a table of its own, so that each computes
all of its rows; their contents must be the same. The session is there before, and a small plan was
run on it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import session
from cluster.settings import CONFIGS, Settings
from cluster.workspace import Workspace
from features import engine, ingest, log
from features.contracts import load_contracts
from features.ingest import run
from features.plan import Plan
from features.sources.mapping import load_source
from features.targets import load_target

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.runner import Runner
    from features.engine import Materialized

BUCKETS = 16
VIEWS = ("lead_engagement", "lead_cadence")
MOMENTS, EVERY = 1_300, timedelta(hours=12)  # of the backfill
ROUNDS = 2
RUNNERS: tuple[Runner, ...] = ("ray", "inline")

type Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Course:
    """A workspace with a log that is to be backfilled."""

    workspace: Workspace
    snapshot: int  # of the log
    end: datetime  # the first moment at which all of it is known


def measured(events: int) -> Figures:
    """Run the backfill on both runners in turn; SystemExit if their rows differ."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-features-ray-") as folder,
        Workspace.open(Settings(home=Path(folder) / "home", buckets=BUCKETS)) as workspace,
    ):
        course = _course(workspace, events)
        try:
            return _raced(course)
        finally:
            session.disconnect()


def _course(workspace: Workspace, events: int) -> Course:
    mapping = load_source("world")
    world = mapping.world.model_copy(update={"events": events})  # type: ignore[union-attr]
    source = ingest.Source(
        mapping=mapping.model_copy(update={"world": world}),
        folder=workspace.settings.home,
        terms=load_contracts(CONFIGS / "contracts"),
    )
    run.landed(workspace, source, "inline", _quiet)
    snapshot = log.pinned(workspace.tables)
    end = log.latest(workspace.tables, snapshot)
    return Course(workspace=workspace, snapshot=snapshot, end=end)


def _raced(course: Course) -> Figures:
    for runner in RUNNERS:
        _ran(course, runner, "small", moments=1)
    rounds = [_round(course, number) for number in range(ROUNDS)]
    seconds = {runner: [each[runner][0] for each in rounds] for runner in RUNNERS}
    made = [each[runner][1] for each in rounds for runner in RUNNERS]
    _require_same(made)
    ratios = [ray / inline for ray, inline in zip(*seconds.values(), strict=True)]
    return {
        "ray_overhead": round(statistics.median(ratios), 3),
        **{f"{runner}_s": round(statistics.median(s), 2) for runner, s in seconds.items()},
        "ray_rounds": [round(ratio, 3) for ratio in ratios],
        "ray_rows": made[0].rows,
        "ray_events": made[0].events,
    }


def _round(course: Course, number: int) -> dict[Runner, tuple[float, Materialized]]:
    load = round(os.getloadavg()[0], 1)
    found = {runner: _ran(course, runner, f"round_{number}", MOMENTS) for runner in _turn(number)}
    told = ", ".join(f"{runner} {seconds:.2f} s" for runner, (seconds, _) in found.items())
    print(f"backfill: {told}, load before {load}", flush=True)
    return found


def _require_same(made: list[Materialized]) -> None:
    """SystemExit for a run that left buckets out, or whose rows are not those of the others."""
    for one in made:
        if (one.computed, one.content) != (one.buckets, made[0].content):
            raise SystemExit(
                f"{one.table}: all {one.buckets} buckets must be computed, with content"
                f" {made[0].content[:16]}, got {one.computed} and {one.content[:16]}:"
                " compare the tables of both runners"
            )


def _turn(number: int) -> tuple[Runner, ...]:
    """Let each runner be first in turn."""
    return RUNNERS if number % 2 == 0 else RUNNERS[::-1]


def _ran(course: Course, runner: Runner, name: str, moments: int) -> tuple[float, Materialized]:
    plan = _plan(course, f"{runner}_{name}", moments)
    begun = time.perf_counter()
    made = engine.materialize(course.workspace, plan, runner, _quiet)
    return time.perf_counter() - begun, made


def _plan(course: Course, name: str, moments: int) -> Plan:
    target = load_target("lead_qualification")
    return Plan(
        target=target.model_copy(update={"name": name, "views": VIEWS}),
        purpose="backfill",
        as_of=course.end,
        snapshot=course.snapshot,
        moments=tuple(course.end - n * EVERY for n in range(moments)),
    )


def _quiet(done: int, total: int, what: str) -> None:
    """Tell nothing."""
