"""Governed refs: what is moved only by leave, and each move's entry in the journal.

A move and its entry are one transaction: a crash leaves both or neither. Whatever a job says that
it needs, this is where it is asked: a job that forgets to say so changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from cluster import schema
from cluster.access import entries
from cluster.access.permissions import Permission
from cluster.refs import Refs

if TYPE_CHECKING:
    from cluster.access.acting import Acting
    from cluster.database import Database
    from cluster.refs import Ref, Witness

# prefix of a ref's name -> who may move it, and the kind of the entry
GOVERNED = {
    "contracts/": (Permission.SCHEMAS_CHANGE, "admin.schema"),
    "views/": (Permission.VIEWS_CHANGE, "admin.view"),
    "targets/": (Permission.TARGETS_CHANGE, "admin.target"),
    "policies/": (Permission.POLICIES_CHANGE, "admin.policy"),
    "models/": (Permission.ALIASES_CHANGE, "admin.alias"),
    "releases/": (Permission.RELEASES_CHANGE, "admin.release"),
}


class Asks(Protocol):
    """Gives leave: to who runs a job, or to who was let in by a service."""

    def ask(self, permission: Permission, what: str, *, passing: str | None = None) -> Acting:
        """Return who does `what`; NotAllowed, journalled, for who may not."""


class Governed(Refs):
    """The refs of a workspace as they are moved by leave."""

    def __init__(self, database: Database, leave: Asks) -> None:
        super().__init__(database)
        self._leave = leave

    def ask(self, name: str) -> None:
        """NotAllowed, journalled, if a ref may not be moved by who would."""
        found = _of(name)
        if found is not None:
            self._leave.ask(found[0], f"move {name}", passing=f"move {name}")

    def _witness(self, moved: Ref) -> Witness | None:
        """Return what journals a move; NotAllowed if it may not be made."""
        found = _of(moved.name)
        if found is None:
            return None
        permission, kind = found
        passing = f"{moved.actor}: {moved.reason}"
        acting = self._leave.ask(permission, f"move {moved.name}", passing=passing)

        def journal(connection: sa.Connection) -> None:
            body = {"ref": moved.name, "epoch": moved.epoch, "by": moved.actor}
            change = {"from": _before(connection, moved), "to": moved.target}
            entries.hold(connection)
            entries.append(connection, kind, {**body, **change}, acting.act(moved.moved_at))

        return journal


def _of(name: str) -> tuple[Permission, str] | None:
    """Return who may move a ref and the kind of the entry; None if nobody is asked."""
    return next((each for prefix, each in GOVERNED.items() if name.startswith(prefix)), None)


def _before(connection: sa.Connection, moved: Ref) -> str | None:
    moves = schema.ref_moves.c
    before = sa.and_(moves.name == moved.name, moves.epoch == moved.epoch - 1)
    return connection.scalar(sa.select(moves.target).where(before))
