"""Candidates as applications of Ray Serve: which there are, and how they begin and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray import serve
from ray.serve.schema import ApplicationStatus

from serving.apart.deployment import build
from serving.releases.own import PREFIX

if TYPE_CHECKING:
    from serving.apart.deciding import CandidateArgs
    from serving.releases.own import Own


class OnServe:
    """Runs candidates on the Ray Serve that this process is connected to."""

    def names(self) -> set[str]:
        """Return the candidates that run, or are about to."""
        every = serve.status().applications.items()
        mine = {name: each.status for name, each in every if name.startswith(PREFIX)}
        return {name for name, status in mine.items() if status != ApplicationStatus.DELETING}

    def start(self, name: str, args: CandidateArgs, own: Own) -> None:
        """Begin to run a candidate, without a route: nobody reaches it over HTTP."""
        target = serve.RunTarget(target=build(args, own), name=name, route_prefix=None)
        serve.run_many([target], wait_for_applications_running=False)

    def stop(self, name: str) -> None:
        """Begin to end it."""
        serve.delete(name, _blocking=False)
