"""`python -m serving`: start Ray and the decision service, on loopback unless told otherwise."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cluster import session
from cluster.beat import Beat
from cluster.errors import FunnelcastError, WrongUse
from cluster.settings import Settings, load_settings
from cluster.workspace import Workspace
from serving.access.opened import check_reachable
from serving.apart.keeper import EVERY_S, Keeper
from serving.profiles import Profile, host_of_serve, uses_haproxy

if TYPE_CHECKING:
    from ray.serve.schema import ServeStatus

NAME = "funnelcast"  # of the application


def main(
    profile: Annotated[
        str, typer.Option(help="File in configs/serve: portable or fast.")
    ] = "portable",
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; others than loopback need keys.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535)] = None,
) -> None:
    """Serve decisions until interrupted."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        settings = load_settings(os.environ)
        _serve(_at(settings, host=host, port=port), Profile.load(profile), console)
    except FunnelcastError as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(2 if isinstance(error, WrongUse) else 1)


def _serve(settings: Settings, profile: Profile, console: Console) -> None:
    profile.prepare(os.environ, settings)
    with Workspace.open(settings) as workspace:
        check_reachable(settings.serve, workspace)
    session.connect(settings)
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
        raise _not_started(serve.status()) from error
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


def _not_started(status: ServeStatus) -> FunnelcastError:
    """Say what the newest replica that failed said last; Serve's own error does not."""
    told = [each.message for each in status.applications[NAME].deployments.values()]
    lines = [line.strip() for line in "\n".join(told).splitlines() if line.strip()]
    causes = [line for line in lines if "Error" in line or "Exception" in line] or lines
    return FunnelcastError(
        f"the service must start, got '{(causes or ['no replica'])[-1]}': mend that and start it"
        " again; the whole story is in the log of the replica"
    )


if __name__ == "__main__":
    typer.run(main)
