"""Jobs of the cluster, by Ray's Jobs API: started, looked at, stopped.

The entrypoint is text of a shell: nothing that a caller says is in it. The code and the workspace
are on the machine of the cluster's head; what else the service was told by the environment, the
cluster was told when it was started.
"""

from __future__ import annotations

import shlex
import sys
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cluster import session
from cluster.settings import ROOT
from serving.simulations.words import NoJobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.settings import Settings

REMEDY = "submit it again"
_TURN_ON = (
    "let the cluster take jobs (FUNNELCAST_SIMULATIONS__JOBS=1, ray start --include-dashboard=1;"
    " if another Ray has port 52365 of this machine: docs/api.md)"
)


class State(NamedTuple):
    """What the cluster says of a job."""

    is_known: bool  # True also where nobody answers
    over: str | None  # why it is over; None: it goes on, as far as is known
    is_told: bool = True  # does it say so itself?


class Cluster(Protocol):
    """Where jobs run, by their names."""

    def submit(self, job: str, options: Sequence[str], cpus: float) -> NoJobs | None:
        """Start a process of `jobs.simulate` with options, when so many cores are free; 0: now."""

    def state(self, job: str) -> State:
        """Return what became of a job."""

    def stop(self, job: str) -> None:
        """Stop a job, if it goes on."""


class RayJobs:
    """The jobs of the cluster that this process is connected to. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: Any = None
        self._lock = Lock()

    def submit(self, job: str, options: Sequence[str], cpus: float) -> NoJobs | None:
        """Submit it; NoJobs where no cluster takes jobs."""
        try:
            self._client().submit_job(
                entrypoint=entrypoint(options),
                submission_id=job,
                runtime_env={"env_vars": {"FUNNELCAST_HOME": str(self._settings.home)}},
                entrypoint_num_cpus=cpus,
            )
        except Exception as error:  # whatever Ray, requests and the network raise
            return self._failed(error)
        return None

    def state(self, job: str) -> State:
        """Ask the cluster; of what cannot be found out it is assumed that it goes on."""
        try:
            found = self._client().get_job_info(job)
        except Exception as error:
            if "status code 404" in str(error):
                return State(is_known=False, over=f"its job is gone with its cluster: {REMEDY}")
            self._forget()
            return State(is_known=True, over=None, is_told=False)
        if not found.status.is_terminal():
            return State(is_known=True, over=None)
        return State(is_known=True, over=ended(str(found.status), str(found.message or "")))

    def stop(self, job: str) -> None:
        """Ask the cluster to stop it; what cannot be asked is left to the job, which looks."""
        try:
            self._client().stop_job(job)
        except Exception:
            self._forget()

    def _client(self) -> Any:
        with self._lock:
            if self._kept is None:
                self._kept = _connected()
            return self._kept

    def _forget(self) -> None:
        with self._lock:
            self._kept = None

    def _failed(self, error: Exception) -> NoJobs:
        self._forget()
        said = " ".join(str(error).split())[:200]
        rule = "a simulation needs a cluster that takes jobs"
        return NoJobs(rule=rule, value=f"'{type(error).__name__}: {said}'", remedy=_TURN_ON)


def ended(status: str, message: str) -> str:
    """Return what planners are told of a job that is over, without the lines of its log that Ray
    puts into its message.
    """
    said = " ".join(message.partition("last available logs")[0].split()).rstrip(",")[:300]
    return f"its job ended ({status}: {said}): {REMEDY}"


def entrypoint(options: Sequence[str]) -> str:
    """Return what a shell is to run."""
    command = [sys.executable, "-m", "jobs.simulate", *options]
    return f"cd {shlex.quote(str(ROOT))} && exec {shlex.join(command)}"


def _connected() -> Any:
    if not session.is_connected():
        raise ConnectionError("this process is not connected to Ray")
    import ray
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(ray.get_runtime_context().gcs_address)
