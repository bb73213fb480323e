"""`python -m serving`: start Ray and the decision service, on loopback unless told otherwise."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer
from rich.console import Console

from cluster import session
from cluster.errors import FunnelcastError, WrongUse
from cluster.settings import Settings, load_settings
from serving.profiles import Profile, uses_haproxy


def main(
    profile: Annotated[
        str, typer.Option(help="File in configs/serve: portable or fast.")
    ] = "portable",
) -> None:
    """Serve decisions until interrupted."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        _serve(load_settings(os.environ), Profile.load(profile), console)
    except FunnelcastError as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(2 if isinstance(error, WrongUse) else 1)


def _serve(settings: Settings, profile: Profile, console: Console) -> None:
    _only_loopback(settings)
    profile.prepare(os.environ, settings.home)
    session.connect(settings)
    from ray import serve

    from serving.app import ServingArgs, build

    where = {"host": settings.serve.host, "port": settings.serve.port}
    serve.start(proxy_location="HeadOnly", http_options=where)
    args = ServingArgs(settings=settings, answers=profile.answers)
    serve.run(build(args), name="funnelcast", route_prefix="/")
    through = "HAProxy" if uses_haproxy(os.environ) else "Ray Serve's proxy"
    console.print(
        f"serving on http://{settings.serve.host}:{settings.serve.port}  (docs: /docs), through"
        f" {through}"
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        session.disconnect()


def _only_loopback(settings: Settings) -> None:
    if settings.serve.host not in {"127.0.0.1", "::1", "localhost"}:
        raise WrongUse(
            f"serve.host must be loopback while the API has no access control, got"
            f" '{settings.serve.host}': put a guarded proxy in front of it"
        )


if __name__ == "__main__":
    typer.run(main)
