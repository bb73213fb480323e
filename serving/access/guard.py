"""The guard: before anything of a request is read, who sends it and what its route needs."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from cluster.access.principal import Forbidden, Unauthenticated, may
from cluster.errors import Refusal
from serving.access import rows
from serving.access.declared import Anybody
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from starlette.types import Scope

    from cluster.access.permissions import Permission
    from cluster.access.principal import Principal
    from serving.access.credentials import Credentials
    from serving.access.declared import Declared, Need

PRINCIPAL = "principal"  # in the state of a request
_BOUND = Forbidden(
    rule="a credential for what shows all rows must be bound to no region or team",
    value="one that is",
    remedy="use one without --region and --team",
)


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Asks about every request of one application."""

    credentials: Credentials
    declared: Declared
    hot: Mapping[str, Permission]  # POST of these paths, which no framework routes
    clock: Callable[[], datetime]

    async def admit(self, scope: Scope) -> Problem | None:
        """Return why a request is refused; None lets it in, with who sends it in its state."""
        need = self._need(scope)
        if need is None or isinstance(need, Anybody):  # a path that is not there holds nothing
            return None
        found = await self.credentials.who(scope, self.clock())
        refused = found if isinstance(found, Refusal) else self._refused(found, need, scope)
        if refused is not None:
            return Problem.of(_status(refused), str(refused))
        scope.setdefault("state", {})[PRINCIPAL] = found
        return None

    def _need(self, scope: Scope) -> Need | None:
        if scope["method"] == "POST" and (need := self.hot.get(scope["path"])):
            return need
        return self.declared.of(scope)

    def _refused(self, principal: Principal, need: Permission, scope: Scope) -> Forbidden | None:
        is_hot = scope["method"] == "POST" and scope["path"] in self.hot
        if rows.bound(principal) and not is_hot and self.declared.shows_all(scope):
            return _BOUND
        return may(principal, need)


def principal_of(scope: Scope) -> Principal:
    """Return who sends a request that was let in."""
    found: Principal = scope["state"][PRINCIPAL]
    return found


def _status(refusal: Refusal) -> HTTPStatus:
    if isinstance(refusal, Unauthenticated):
        return HTTPStatus.UNAUTHORIZED
    return (
        HTTPStatus.FORBIDDEN if isinstance(refusal, Forbidden) else HTTPStatus.SERVICE_UNAVAILABLE
    )
