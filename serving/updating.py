"""The update of a service that runs: replicas of the code at hand start beside the old ones, which
stop when those answer. If they do not start, the old ones go on.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

from cluster import session
from cluster.beat import Beat
from cluster.errors import FunnelcastError, WrongUse
from serving.profiles import Profile
from serving.running import Running

if TYPE_CHECKING:
    from ray.serve.schema import ServeStatus
    from rich.console import Console

    from cluster.settings import Settings
    from serving.app import ServingArgs

NAME, DEPLOYMENT = "funnelcast", "decisions"  # of the application, and what it is of
TELL_S = 1.0  # between two looks at how far it is
SHOWN = 12  # letters of a version
_RAISED = re.compile(r"[A-Za-z_][\w.]*: (?!Traceback )")


def update(settings: Settings, console: Console) -> None:
    """Bring the code at hand to the service of a workspace; returns when it alone answers."""
    running = Running.find(settings.home)
    profile = Profile.load(running.profile)
    where = {"host": running.host, "port": running.port}
    settings = settings.model_copy(update={"serve": settings.serve.model_copy(update=where)})
    profile.prepare(os.environ, settings)
    _connect(settings, running)
    try:
        from serving.app import ServingArgs

        args = ServingArgs(settings=settings, answers=profile.answers, must_answer=True)
        version = running.told(args.version)
        try:
            _roll(args, version, running, console)
        except FunnelcastError:
            running.model_copy(update={"failed": version}).keep(settings.home)
            raise
        running.model_copy(update={"version": version}).keep(settings.home)
    finally:
        session.disconnect()


def not_started(status: ServeStatus) -> FunnelcastError:
    """Say what the newest replica that failed said last; Serve's own error does not."""
    return FunnelcastError(
        f"the service must start, got '{_cause(status)}': mend that and start it again; the whole"
        " story is in the log of the replica"
    )


def _connect(settings: Settings, running: Running) -> None:
    ray = settings.ray.model_copy(update={"address": running.address})
    try:
        session.connect(settings.model_copy(update={"ray": ray}))
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise WrongUse(
            f"the service of '{settings.home}' must run to be updated, got none at"
            f" {running.address}: start it with python -m serving"
        ) from error


def _roll(args: ServingArgs, version: str, running: Running, console: Console) -> None:
    from ray import serve

    from serving.app import build

    console.print(f"updating from {running.version[:SHOWN]} to {version[:SHOWN]}")
    began = time.monotonic()
    telling = Beat(_Telling(console), every_s=TELL_S, name="telling")
    telling.start()
    try:
        serve.run(build(args, version, running.moved_to), name=NAME, route_prefix="/")
    except RuntimeError as error:
        raise _not_updated(serve.status()) from error
    finally:
        telling.close()
    console.print(f"{version[:SHOWN]} alone answers, after {time.monotonic() - began:.0f} s")


class _Telling:
    """Says how many replicas are how, each time that changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""

    def __call__(self) -> None:
        from ray import serve

        found: Any = serve.status().applications[NAME].deployments.get(DEPLOYMENT)
        states = found.replica_states if found else {}
        now = ", ".join(f"{count} {name.lower()}" for name, count in states.items())
        if now and now != self._said:
            self._console.print(f"replicas: {now}")
            self._said = now


def _not_updated(status: ServeStatus) -> FunnelcastError:
    return FunnelcastError(
        f"replicas of the new code must start, got '{_cause(status)}': the old ones go on; mend it"
        " and update again, or go back: python -m serving --update with the code of before"
    )


def _cause(status: ServeStatus) -> str:
    """Return the last line of what Serve says that names what was raised."""
    told = [each.message for each in status.applications[NAME].deployments.values()]
    lines = [line.strip() for line in "\n".join(told).splitlines() if line.strip()]
    causes = [line for line in lines if _RAISED.match(line)] or lines
    return (causes or ["no replica"])[-1]
