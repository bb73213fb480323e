"""The leave of a principal who was let in by a service: each governed ref asks once more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.access import entries
from cluster.access.acting import REFUSED, Acting, NotAllowed
from cluster.access.entries import Act
from cluster.access.governed import Governed
from cluster.access.principal import may

if TYPE_CHECKING:
    from cluster.access.permissions import Permission
    from cluster.access.principal import Principal
    from cluster.workspace import Workspace


class Granted:
    """Asks whether a principal may change something, for a reason."""

    def __init__(self, workspace: Workspace, principal: Principal, reason: str) -> None:
        self._workspace = workspace
        self._principal = principal
        self._reason = reason

    def ask(self, permission: Permission, what: str, *, passing: str | None = None) -> Acting:
        """Return who does `what`; NotAllowed, journalled, for who may not. WrongUse for a reason
        that cannot be journalled.
        """
        who = self._principal
        act = Act(actor=who.subject, reason=self._reason, now=self._workspace.clock())
        refused = may(who, permission)
        if refused is not None:
            told = {"what": what, "permission": permission, "refused": str(refused)}
            with entries.alone(self._workspace.database) as connection:
                body = {**told, "credential": who.credential}
                entries.append(connection, REFUSED, body, act)
            raise NotAllowed(str(refused))
        return Acting(
            actor=act.actor, credential=who.credential, permission=permission, reason=act.reason
        )


def granted(workspace: Workspace, principal: Principal, reason: str) -> Workspace:
    """Return the workspace with refs that ask for a principal."""
    leave = Granted(workspace, principal, reason)
    return replace(workspace, refs=Governed(workspace.database, leave))
