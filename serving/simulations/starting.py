"""How the job of a run starts: in the process that waits for one, or in one of its own.

A process takes seconds to start, to import and to learn from the log. So one waits for the next run
(`--spare`), has read and learnt what the last question rested on, and holds no core meanwhile. It
is given a run while no other is under way, so that those who ask at once wait for cores as before.
"""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from threading import Lock, Thread
from typing import TYPE_CHECKING, Protocol

from cluster import runs
from serving.simulations.questions import JOB
from serving.simulations.spares import Spares
from serving.simulations.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.workspace import Workspace
    from serving.simulations.jobs import Cluster, State
    from serving.simulations.records import Run
    from serving.simulations.words import NoJobs

APART_S = 60.0  # between two tries, where the cluster takes no spare
LATE = timedelta(minutes=2)  # beyond its time
RUN, SPARE = "--simulation", "--spare"  # options of jobs.simulate


def _beside(work: Callable[[], None]) -> None:
    Thread(target=work, name="expect a simulation", daemon=True).start()


class Jobs(Protocol):
    """Where simulations run."""

    def start(self, run: Run) -> NoJobs | None:
        """Start the job of a run; one that is started already is left alone."""

    def state(self, run: Run) -> State:
        """Return what became of the job of a run."""

    def stop(self, run: Run) -> None:
        """Stop the job of a run, if it goes on."""

    def expect(self) -> None:
        """Prepare for a run that may come soon."""


class Starting:
    """Starts the jobs of one workspace on a cluster. Safe to share between threads."""

    def __init__(
        self,
        cluster: Cluster,
        workspace: Workspace,
        timer: Callable[[], float] = time.monotonic,
        beside: Callable[[Callable[[], None]], object] = _beside,
    ) -> None:
        self._cluster, self._beside = cluster, beside
        self._settings = workspace.settings.simulations
        self._clock, self._timer = workspace.clock, timer
        self._spares, self._store = Spares(workspace.database), Store(workspace.database)
        self._adds = Lock()
        self._not_before = float("-inf")

    def start(self, run: Run) -> NoJobs | None:
        """Give it to the process that waits, or submit a job."""
        if self._is_given(run):
            return None
        return self._cluster.submit(run.job, [RUN, str(run)], self._settings.cpus)

    def state(self, run: Run) -> State:
        """Ask the cluster."""
        return self._cluster.state(self._job(run))

    def stop(self, run: Run) -> None:
        """Ask the cluster to stop it."""
        self._cluster.stop(self._job(run))

    def expect(self) -> None:
        """Let a process wait for the next run, unless one does, or another run has the cores. Does
        not wait for the cluster.
        """
        if self._is_wanted() and self._adds.acquire(blocking=False):
            self._beside(self._add)

    def _is_wanted(self) -> bool:
        has_some = self._settings.jobs and self._settings.spare_minutes > 0
        if not has_some or self._timer() < self._not_before or self._store.under_way():
            return False
        return self._waiting() is None

    def _add(self) -> None:
        """Start a process that waits; whoever calls has the lock."""
        try:
            job, code = f"spare-{uuid.uuid4().hex}", runs.code_version(JOB)
            if not self._spares.put(job, code, self._clock(), self._since()):
                return
            if self._cluster.submit(job, [SPARE, job], 0.0) is not None:
                self._spares.leave(job)
                self._not_before = self._timer() + APART_S
        finally:
            self._adds.release()

    def _is_given(self, run: Run) -> bool:
        job = self._waiting()
        if job is None or any(each.run != run for each in self._store.under_way()):
            return False
        state = self._cluster.state(job)
        if state.over is not None:
            self._spares.leave(job)
        return state.over is None and state.is_told and self._spares.give(job, run)

    def _waiting(self) -> str | None:
        return self._spares.waiting(runs.code_version(JOB), self._since())

    def _since(self) -> datetime:
        """Return since when one may wait; who should have left is not there."""
        return self._clock() - timedelta(minutes=self._settings.spare_minutes) - LATE

    def _job(self, run: Run) -> str:
        return self._spares.of(run) or run.job
