"""A key as it is on record: everything but the key itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cluster import canonical, schema
from cluster.access.permissions import Permission
from cluster.access.principal import Principal
from cluster.access.roles import Role

if TYPE_CHECKING:
    import sqlalchemy as sa

    from cluster.access.roles import Roles


class Status(StrEnum):
    """What a key is at some time."""

    NOT_YET_VALID = "not yet valid"
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, kw_only=True)
class KeyRecord:
    """What is stored of a key. Lists are sorted; a name that is no longer known is kept."""

    id: str
    hash: bytes = field(repr=False)
    name: str  # who holds it
    roles: tuple[str, ...]
    scopes: tuple[str, ...] | None  # permissions; None: all that the roles have
    regions: tuple[str, ...] | None  # None: rows of every region
    teams: tuple[str, ...] | None
    created_at: datetime
    not_before: datetime
    expires_at: datetime  # the first moment at which it is no longer valid
    revoked_at: datetime | None = None
    rotated_from: str | None = None  # id of the key before
    rotated_to: str | None = None  # id of the key after

    def status(self, now: datetime) -> Status:
        """Return what the key is at `now`."""
        if self.revoked_at is not None:
            return Status.REVOKED
        if now >= self.expires_at:
            return Status.EXPIRED
        return Status.NOT_YET_VALID if now < self.not_before else Status.ACTIVE

    def principal(self, roles: Roles) -> Principal:
        """Return who asks with this key. A role or scope that is not known allows nothing."""
        held = frozenset(Role(name) for name in self.roles if name in set(Role))
        allowed = roles.permissions(held)
        if self.scopes is not None:
            allowed &= {Permission(name) for name in self.scopes if name in set(Permission)}
        return Principal(
            subject=self.name,
            roles=held,
            permissions=allowed,
            regions=None if self.regions is None else frozenset(self.regions),
            teams=None if self.teams is None else frozenset(self.teams),
            clearance=roles.clearance(held),
            credential=f"api-key:{self.id}",
        )

    def document(self) -> dict[str, Any]:
        """Return what may be shown and journalled, as plain JSON values; without the hash."""
        return {
            "id": self.id,
            "name": self.name,
            "roles": list(self.roles),
            **{name: _plain(getattr(self, name)) for name in _LISTS},
            **{name: _said(getattr(self, name)) for name in _TIMES},
            "rotated_from": self.rotated_from,
            "rotated_to": self.rotated_to,
        }

    def row(self) -> dict[str, Any]:
        """Return the row of the table, without the number of its change."""
        told = self.document() | {"hash": self.hash, "roles": _packed(self.roles)}
        told |= {name: _packed(getattr(self, name)) for name in _LISTS}
        times = {name: getattr(self, name) for name in _TIMES}
        return told | {name: at and schema.micros(at) for name, at in times.items()}

    @classmethod
    def of(cls, row: sa.RowMapping) -> KeyRecord:
        """Return the record of a row."""
        told = {name: value for name, value in row.items() if name != "change"}
        told |= {name: _unpacked(row[name]) for name in ("roles", *_LISTS)}
        times = {name: row[name] for name in _TIMES}
        told |= {n: None if at is None else schema.moment(at) for n, at in times.items()}
        return cls(**told)


_LISTS = ("scopes", "regions", "teams")
_TIMES = ("created_at", "not_before", "expires_at", "revoked_at")


def _plain(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)


def _said(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _packed(names: tuple[str, ...] | None) -> str | None:
    return None if names is None else canonical.dumps(list(names)).decode()


def _unpacked(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))
