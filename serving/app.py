"""The Ray Serve application: `build` wires, replicas answer. One hop: the replica is the HTTP
ingress.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from ray import serve

from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.routes import make_api
from serving.service import Answer, DecisionService

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application


class ServingArgs(BaseModel):
    """What `build` is given: the workspace, and who answers for which kind of entity."""

    settings: Settings
    answers: dict[str, Answer]


@serve.deployment(
    name="decisions",
    max_ongoing_requests=64,
    max_queued_requests=512,
    health_check_period_s=2,
    health_check_timeout_s=5,
    ray_actor_options={"num_cpus": 0.1},
)
@serve.ingress()
class Decisions:
    """One replica: a workspace, the models, and the API over them."""

    def __init__(self, args: ServingArgs) -> None:
        self._workspace = Workspace.open(args.settings)
        self._service = DecisionService(self._workspace, args.answers)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the application that Serve calls for each request."""
        return make_api(self._service)

    def check_health(self) -> None:
        """Fail when the database does not answer."""
        self._service.ready()

    def __del__(self) -> None:
        """Write what is queued."""
        if hasattr(self, "_workspace"):
            self._workspace.close()


def build(args: ServingArgs) -> Application:
    """Return the application; reads nothing but its arguments."""
    deployment: Any = Decisions
    application: Application = deployment.options(num_replicas=args.settings.serve.replicas).bind(
        args
    )
    return application
