"""Applications without a guard, asked in somebody's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.access.principal import LOCAL, Principal
from serving.access.guard import PRINCIPAL

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


def letting(application: ASGIApp, who: Principal = LOCAL) -> ASGIApp:
    """Return an application that lets every request in as the principal's."""

    async def let(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})[PRINCIPAL] = who
        await application(scope, receive, send)

    return let
