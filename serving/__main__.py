"""`python -m serving`: start Ray and the decision service, on loopback unless told otherwise."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Annotated

import typer
from rich.console import Console

from cluster import session
from cluster.beat import Beat
from cluster.errors import FunnelcastError, WrongUse
from cluster.settings import ROOT, Settings, load_settings
from cluster.workspace import Workspace
from serving import updating
from serving.access.opened import check_reachable
from serving.apart.keeper import EVERY_S, Keeper
from serving.profiles import Profile, host_of_serve, uses_haproxy
from serving.running import Running
from serving.updating import NAME, not_started


def main(
    profile: Annotated[
        str, typer.Option(help="File in configs/serve: portable or fast.")
    ] = "portable",
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; others than loopback need keys.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535)] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Bring this code to the service that runs already.")
    ] = False,
) -> None:
    """Serve decisions until interrupted."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        settings = load_settings(os.environ)
        if update:
            updating.update(settings, console)
        else:
            _serve(_at(settings, host=host, port=port), profile, console)
    except FunnelcastError as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(2 if isinstance(error, WrongUse) else 1)


def _serve(settings: Settings, name: str, console: Console) -> None:
    profile = Profile.load(name)
    profile.prepare(os.environ, settings)
    with Workspace.open(settings) as workspace:
        check_reachable(settings.serve, workspace)
    _connect(settings)
    from ray import serve

    from serving.apart.running import OnServe
    from serving.app import ServingArgs, build

    host = host_of_serve(settings.serve, os.environ)
    where = {"host": host, "port": settings.serve.port}
    serve.start(proxy_location="HeadOnly", http_options=where)
    args = ServingArgs(settings=settings, answers=profile.answers)
    try:
        serve.run(build(args), name=NAME, route_prefix="/")
    except RuntimeError as error:
        raise not_started(serve.status()) from error
    _running(settings, name, args.version).keep(settings.home)
    through = "HAProxy" if uses_haproxy(os.environ) else "Ray Serve's proxy"
    console.print(
        f"serving on http://{settings.serve.host}:{settings.serve.port}  (docs: /docs), through"
        f" {through}"
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with Workspace.open(settings) as workspace:
            _keep_candidates(Keeper(workspace, profile.answers, OnServe()))
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        Running.forget(settings.home)
        serve.shutdown()  # type: ignore[no-untyped-call]
        session.disconnect()


def _keep_candidates(keeper: Keeper) -> None:
    """Let candidates run apart where releases ask for it, until interrupted."""
    beat = Beat(keeper.look, every_s=EVERY_S, name="candidates")
    beat.start()
    try:
        signal.pause()
    finally:
        beat.close()


def _at(settings: Settings, **given: object) -> Settings:
    """Return the settings with what the command line says of where to listen."""
    said = {name: value for name, value in given.items() if value is not None}
    return settings.model_copy(update={"serve": settings.serve.model_copy(update=said)})


def _connect(settings: Settings) -> None:
    """Connect to Ray; to a session of our own so that the folder of this code is not the first
    place where all replicas ever look for theirs: an update may bring another.
    """
    if settings.ray.address or "RAY_ADDRESS" in os.environ:
        session.connect(settings)
        return
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
    with contextlib.chdir(settings.home):
        session.connect(_taking_jobs(settings))


def _taking_jobs(settings: Settings) -> Settings:
    """Return the settings of a session that takes the jobs of simulations, unless told not to: Ray
    does with its dashboard, which costs 0.13 GB and 2 % of a core.
    """
    takes = settings.ray.dashboard or settings.simulations.jobs
    return settings.model_copy(update={"ray": settings.ray.model_copy(update={"dashboard": takes})})


def _running(settings: Settings, profile: str, version: str) -> Running:
    import ray

    return Running(
        address=ray.get_runtime_context().gcs_address,
        profile=profile,
        host=settings.serve.host,
        port=settings.serve.port,
        version=version,
    )


if __name__ == "__main__":
    typer.run(main)
