"""Planners and what they ask, and a cluster that does what a test says: it stands in for Ray's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.access.permissions import Permission
from cluster.access.principal import LOCAL, Principal
from features import log
from features.sources.world import WorldConfig, generate
from jobs.simulate import followed
from serving.simulations.jobs import State
from serving.wire.simulations import SimulationRequest

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.simulations.records import Run
    from serving.simulations.words import NoJobs

EFFECT = {"ratio": 1.3, "sd": 0.1, "grade": "assumption"}
LEVER = {
    "kind": "outreach",
    "stages": ["lead"],
    "rate": 0.5,
    "effect": EFFECT,
    "cost_per_contact_cents": 100,
}
DESK = {"name": "inside", "reps": 9, "contacts_per_day": 8}
GONE = State(is_known=False, over="its job is gone with its cluster: submit it again")
GOES_ON = State(is_known=True, over=None)


def scenario(name: str = "more", **other: Any) -> dict[str, Any]:
    """Return a scenario of one lever, small enough to be simulated in a test."""
    own = {"name": name, "draws": 20, "horizon": 6, "levers": [LEVER], "desks": [DESK]}
    return {**own, **other}


def request(*scenarios: dict[str, Any], **other: Any) -> SimulationRequest:
    """Return what a planner asks; without scenarios the small one."""
    return SimulationRequest(scenarios=list(scenarios or [scenario()]), **other)


def planner(subject: str = "ada", *more: Permission) -> Principal:
    """Return somebody who may run forecasts."""
    may = frozenset({Permission.FORECASTS_RUN, *more})
    return replace(LOCAL, subject=subject, roles=frozenset(), permissions=may)


def administrator() -> Principal:
    """Return somebody who may see and stop those of all."""
    return planner("root", Permission.FORECASTS_MANAGE)


def fill(workspace: Workspace, *, leads: int = 900) -> None:
    """Let the log hold the events of a small company."""
    told = generate(WorldConfig(weeks=40, leads=leads, accounts=200, faults=0.0)).events
    kinds = ["opportunity", "stage", "outcome", "lead", "intervention", "attribute"]
    events = log.identified(told.filter(pc.is_in(told["kind"], pa.array(kinds))))
    log.create(workspace.tables, 4)
    workspace.tables.append(log.TABLE, events)


class Cluster:
    """Takes jobs, and does them when it is told to."""

    def __init__(self) -> None:
        self.started: list[Run] = []
        self.stopped: list[Run] = []
        self.says = GOES_ON
        self.refuses: NoJobs | None = None

    def start(self, run: Run) -> NoJobs | None:
        """Take a job, unless it is to refuse."""
        if self.refuses is None:
            self.started.append(run)
        return self.refuses

    def state(self, run: Run) -> State:
        """Say what it is told to say."""
        return self.says

    def stop(self, run: Run) -> None:
        """Remember what was to be stopped."""
        self.stopped.append(run)

    def work(self, workspace: Workspace) -> int:
        """Do the job that came last; return its exit code."""
        return followed.follow(workspace, self.started[-1])

    def expect(self) -> None:
        """Prepare for nothing."""
