"""The candidate as an application of Ray Serve: replicas, resources and code of its own, and no
route.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.util import get_node_ip_address

from serving.apart import unpacked
from serving.inside import keep_inside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ray.serve import Application

    from serving.apart.deciding import CandidateArgs
    from serving.releases.own import Own

DEPLOYMENT = "candidate"
MOST_INSIDE = 16  # calls of one replica


@serve.deployment(
    name=DEPLOYMENT,
    max_ongoing_requests=MOST_INSIDE,
    max_queued_requests=2 * MOST_INSIDE,
    health_check_period_s=2,
    health_check_timeout_s=5,
    graceful_shutdown_timeout_s=5,
    logging_config={"enable_access_log": False, "log_level": "WARNING"},
)
class Candidate:
    """One replica of a candidate: a shell of the service's code around the candidate's."""

    def __init__(self, args: Mapping[str, Any], *, has_code: bool) -> None:
        keep_inside(get_node_ip_address())  # type: ignore[no-untyped-call]
        if has_code:
            unpacked.take(Path.cwd())  # where Ray has unpacked it
        self._deciding = import_module("serving.apart.deciding").begun(args)

    def decide(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Answer what is asked in plain values."""
        answer: dict[str, Any] = self._deciding.decide(said)
        return answer

    def check_health(self) -> None:
        """Fail when a call does not return."""
        self._deciding.must_be_well()


def build(args: CandidateArgs, own: Own) -> Application:
    """Return the application; reads nothing but its arguments."""
    deployment: Any = Candidate
    actor: dict[str, Any] = {"num_cpus": own.cpus, "runtime_env": _runtime_env(own)}
    if own.memory_mb is not None:
        actor["memory"] = own.memory_mb * 2**20
    options = {"num_replicas": own.replicas, "ray_actor_options": actor}
    application: Application = deployment.options(**options).bind(
        args.model_dump(), has_code=own.code is not None
    )
    return application


def _runtime_env(own: Own) -> dict[str, Any]:
    code = {} if own.code is None else {"working_dir": own.code}
    return {"env_vars": dict(own.environment), **code}
