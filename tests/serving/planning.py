"""The planner's page over a small company, and its simulations as threads of this process."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster.settings import Settings, SimulationSettings
from cluster.workspace import Workspace
from jobs.simulate import followed
from serving.answer.service import DecisionService
from serving.api.application import AT_THIS_MACHINE, make_application
from serving.simulations.service import Simulations
from tests.serving import asking
from tests.serving.listening import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from serving.simulations.records import Run
    from serving.simulations.words import NoJobs


class Threads(asking.Cluster):
    """Does each job at once, beside; with `holds` it waits until it is let go."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.holds = threading.Event()
        self.holds.set()
        self._workspace = workspace
        self._threads: list[threading.Thread] = []

    def start(self, run: Run) -> NoJobs | None:
        """Begin a job."""
        self._threads.append(threading.Thread(target=self._do, args=(run,)))
        self._threads[-1].start()
        return None

    def _do(self, run: Run) -> None:
        self.holds.wait(60)
        followed.follow(self._workspace, run)

    def close(self) -> None:
        """Wait for all of them."""
        self.holds.set()
        for thread in self._threads:
            thread.join(300)


@contextmanager
def page(home: Path) -> Iterator[tuple[str, Workspace, Threads]]:
    """Serve the page of a small company on loopback: its address, the workspace, the jobs."""
    allowed = SimulationSettings(at_once=1_000, queue=1_000, per_day=10_000)
    with Workspace.open(Settings(home=home, buckets=4, simulations=allowed)) as workspace:
        asking.fill(workspace)
        jobs = Threads(workspace)
        service = DecisionService(workspace, {})
        planning = Simulations(workspace, jobs)
        try:
            with listening(make_application(service, AT_THIS_MACHINE, planning)) as address:
                yield address, workspace, jobs
        finally:
            jobs.close()
            service.close()
