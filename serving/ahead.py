"""The short way into a replica under HAProxy: decisions are answered before Ray Serve's own steps.

Those steps (an id, a place in its queue, its metrics) take a replica a tenth of a decision's time,
and the application has its own: the gate, the meters, the journal. A replica that goes is kept for
30 s after nobody is sent to it (RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S), which is longer
than any deadline, so Serve need not know what is under way. Without the setting that names
`middlewares` every request takes the long way, to the same answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware import Middleware

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from serving.api.front import Front

_front: list[Front] = []  # of this process; empty in one that is no replica


def use(front: Front) -> None:
    """Answer hot requests to this process from `front`."""
    _front[:] = [front]


def middlewares() -> list[Middleware]:
    """Return what Serve is to put before its steps: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH."""
    return [Middleware(Ahead)]


class Ahead:
    """An ASGI application: hot requests to the front of this process, all others to Serve."""

    def __init__(self, behind: ASGIApp) -> None:
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answers = _front[0] if _front and _front[0].is_hot(scope) else self._behind
        await answers(scope, receive, send)
