"""How the job of a run starts: in the process that waits for one, or in one of its own.

A process takes seconds to start, to import and to learn from the log. So one waits for the next run
(`--spare`), has read and learnt what the last question rested on, and holds no core meanwhile. It
is given a run when it is ready, is known to live, is of the same code, and no other run is under
way. Another run that is asked for then does not know of it, and gets a core that Ray holds free: so
there may be one run more than there are cores for.
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
    from serving.simulations.spares import Spare
    from serving.simulations.words import NoJobs

APART_S = 60.0  # between two tries, where the cluster takes no spare
LATE = timedelta(minutes=2)  # beyond its time
TO_SUBMIT = timedelta(seconds=30)  # from the record to the job
RUN, SPARE = "--simulation", "--spare"  # options of jobs.simulate


def _beside(work: Callable[[], None]) -> None:
    Thread(target=work, name="expect a simulation", daemon=True).start()


class Jobs(Protocol):
    """Where simulations run."""

    def start(self, run: Run) -> NoJobs | None:
        """Start the job of a run, once."""

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
        self._looks_at = self._tries_at = float("-inf")  # not before

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
            try:
                self._beside(self._add)
            except BaseException:
                self._adds.release()
                raise

    def _is_wanted(self) -> bool:
        """Is one to be started, or to be asked whether it lives?"""
        has_some = self._settings.jobs and self._settings.spare_minutes > 0
        if not has_some or self._store.under_way():
            return False
        not_before = self._tries_at if self._there() is None else self._looks_at
        return self._timer() >= not_before

    def _add(self) -> None:
        """Start a process that waits, if none lives; whoever calls has the lock."""
        try:
            spare = self._there()
            self._looks_at = self._timer() + APART_S
            if spare is None or self._is_dead(spare, self._cluster.state(spare.job)):
                self._submit(f"spare-{uuid.uuid4().hex}")
        finally:
            self._adds.release()

    def _submit(self, job: str) -> None:
        under_way = [each.run for each in self._store.under_way()]
        if not self._spares.put(job, self._clock(), self._since(), under_way):
            return
        if self._cluster.submit(job, [SPARE, job], 0.0) is not None:
            self._spares.leave(job)
            self._tries_at = self._timer() + APART_S

    def _is_given(self, run: Run) -> bool:
        spare = self._there()
        if spare is None or any(each.run != run for each in self._store.under_way()):
            return False
        if spare.code != runs.code_version(JOB):  # not ready, or of another
            self._spares.leave(spare.job)
            return False
        return self._lives(spare) and self._spares.give(spare.job, run)

    def _lives(self, spare: Spare) -> bool:
        """Does the cluster say so?"""
        state = self._cluster.state(spare.job)
        return not self._is_dead(spare, state) and state.over is None and state.is_told

    def _is_dead(self, spare: Spare, state: State) -> bool:
        """Is it known to be dead? Then it is waited for no more."""
        is_on_its_way = not state.is_known and self._clock() - spare.at < TO_SUBMIT
        if state.over is None or is_on_its_way:
            return False
        self._spares.leave(spare.job)
        return True

    def _there(self) -> Spare | None:
        return self._spares.there(self._since())

    def _since(self) -> datetime:
        """Return since when one may wait; who should have left is not there."""
        return self._clock() - timedelta(minutes=self._settings.spare_minutes) - LATE

    def _job(self, run: Run) -> str:
        spare = self._spares.of(run)
        return run.job if spare is None else spare.job
