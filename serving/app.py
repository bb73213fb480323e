"""The Ray Serve application: `build` wires, replicas answer. One hop: the replica is the HTTP
ingress.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from ray import serve

from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.answer.service import DecisionService
from serving.api.application import make_application
from serving.slots.slot import Answer

if TYPE_CHECKING:
    from ray.serve import Application

    from serving.api.front import Front

SWITCH_S = 0.0005  # for how long one thread may keep the others of a replica from running


class ServingArgs(BaseModel):
    """What `build` is given: the workspace, and who answers for which kind of entity."""

    settings: Settings
    answers: dict[str, Answer]


@serve.deployment(
    name="decisions",
    max_ongoing_requests=512,  # the gate of the application refuses long before
    max_queued_requests=512,
    health_check_period_s=2,
    health_check_timeout_s=5,
    graceful_shutdown_timeout_s=20,
    ray_actor_options={"num_cpus": 0.1},
    logging_config={"enable_access_log": False, "log_level": "WARNING"},  # the journal has it all
)
@serve.ingress()
class Decisions:
    """One replica: a workspace, the models, and the API over them."""

    def __init__(self, args: ServingArgs) -> None:
        sys.setswitchinterval(SWITCH_S)
        self._workspace = Workspace.open(args.settings)
        self._service = DecisionService(self._workspace, args.answers)

    def __serve_build_asgi_app__(self) -> Front:
        """Return the application that Serve calls for each request."""
        return make_application(self._service)

    def check_health(self) -> None:
        """Fail when the database does not answer, or so much is stuck that a new process is due."""
        self._service.must_be_well()

    def __del__(self) -> None:
        """Write what is queued."""
        if hasattr(self, "_service"):
            self._service.close()
        if hasattr(self, "_workspace"):
            self._workspace.close()


def build(args: ServingArgs) -> Application:
    """Return the application; reads nothing but its arguments."""
    deployment: Any = Decisions
    application: Application = deployment.options(num_replicas=args.settings.serve.replicas).bind(
        args
    )
    return application
