"""The Ray Serve application: `build` wires, replicas answer. One hop: the replica is the HTTP
ingress.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from ray import serve
from ray.util import get_node_ip_address

from cluster import canonical, runs
from cluster.errors import FunnelcastError
from cluster.folding import Folding
from cluster.sealer import open_sealer
from cluster.settings import CONFIGS, Settings
from cluster.workspace import Workspace
from serving import ahead
from serving.access.opened import Opened
from serving.answer.service import DecisionService
from serving.apart.calling import Apart
from serving.api.application import make_application
from serving.inside import keep_inside
from serving.slots.slot import Answer

if TYPE_CHECKING:
    from ray.serve import Application

    from serving.api.front import Front

SWITCH_S = 0.00005  # for how long one thread may keep the others of a replica from running
THRESHOLDS = (2_000, 10, 1_000_000)  # of the collector, by generation


class ServingArgs(BaseModel):
    """What `build` is given: the workspace, and who answers for which kind of entity."""

    settings: Settings
    answers: dict[str, Answer]
    must_answer: bool = False  # a replica that could not answer at once does not start

    @property
    def version(self) -> str:
        """The version of what replicas run: the code, what it is configured by, and these."""
        files = sorted(path for path in CONFIGS.rglob("*") if path.is_file())
        configs = {str(p.relative_to(CONFIGS)): canonical.sha256_hex(p.read_bytes()) for p in files}
        given = self.model_dump(mode="json", exclude={"must_answer"})
        return canonical.digest({"code": runs.code_version(), "configs": configs, "given": given})


class NotReady(FunnelcastError):
    """A replica has nothing to answer with."""


@serve.deployment(
    name="decisions",
    max_ongoing_requests=512,  # the gate of the application refuses long before
    max_queued_requests=512,
    health_check_period_s=2,
    health_check_timeout_s=5,
    graceful_shutdown_timeout_s=20,
    max_surge_percent=100,  # of an update the new replicas start before an old one stops
    ray_actor_options={"num_cpus": 0.1},
    logging_config={"enable_access_log": False, "log_level": "WARNING"},  # the journal has it all
)
@serve.ingress()
class Decisions:
    """One replica: a workspace, the models, and the API over them."""

    def __init__(self, args: ServingArgs) -> None:
        sys.setswitchinterval(SWITCH_S)
        _stay_on_one_core(serve.get_replica_context().rank.rank)
        keep_inside(get_node_ip_address())  # type: ignore[no-untyped-call]
        self._workspace = Workspace.open(args.settings)
        self._folding = Folding(self._workspace.database)
        self._folding.start()
        self._sealer = open_sealer(self._workspace)
        self._sealer.start()
        self._access = Opened(self._workspace).start()
        apart = Apart(args.settings.serve.candidates)
        self._service = DecisionService(self._workspace, args.answers, apart=apart)
        why = self._service.unready() if args.must_answer else ()
        if why:
            raise NotReady(f"a replica of an update must answer at once, got '{'; '.join(why)}'")
        self._service.begin_telling()
        self._service.begin_judging()
        _keep_collections_short()

    def __serve_build_asgi_app__(self) -> Front:
        """Return the application that Serve calls for each request."""
        front = make_application(self._service, self._access.credentials)
        ahead.use(front)
        return front

    def check_health(self) -> None:
        """Fail when the database does not answer, or so much is stuck that a new process is due."""
        self._service.must_be_well()

    def __del__(self) -> None:
        """Write what is queued, and seal it."""
        if hasattr(self, "_service"):
            self._service.close()
            self._access.close()
            self._workspace.journal.close()
            self._sealer.close()
            self._folding.close()
            self._workspace.close()


def _stay_on_one_core(rank: int) -> None:
    """Keep the threads of a replica on one core, replica by replica: they take turns anyway, and
    handing the turn to another core costs more than the work; see docs/decisions/0011-service.md.
    """
    if sys.platform != "linux":
        return
    cores = sorted(os.sched_getaffinity(0))
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {cores[-1 - rank % len(cores)]})


def _keep_collections_short() -> None:
    """Leave what is there by now out of every collection, and the full ones to Ray: one of all that
    a replica holds takes 0.2 s. Requests leave no cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def build(args: ServingArgs, version: str | None = None, root: str | None = None) -> Application:
    """Return the application; `root` is where replicas find the code, if not where the service
    began. Replicas that run this version already are left alone.
    """
    deployment: Any = Decisions
    options: dict[str, Any] = {"num_replicas": args.settings.serve.replicas}
    options |= {"version": version or args.version, "_internal": True}  # else drawn by lot
    if root is not None:
        place = {"runtime_env": {"env_vars": {"PYTHONPATH": root}}}
        options["ray_actor_options"] = deployment.ray_actor_options | place
    application: Application = deployment.options(**options).bind(args)
    return application
