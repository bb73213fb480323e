"""A principal: who asks, and what may be done and seen in that name. Deny by default. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.access.permissions import Permission
from cluster.access.privacy import Privacy
from cluster.access.roles import Role
from cluster.errors import Refusal


class Unauthenticated(Refusal):
    """Nobody knows who asks (HTTP 401)."""


class Forbidden(Refusal):
    """Who asks is known, and may not (HTTP 403)."""


class Unavailable(Refusal):
    """Who asks cannot be found out now (HTTP 503)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who asks. Holds no secret: `credential` names a key or token, and is none."""

    subject: str  # whom the journal names as actor
    roles: frozenset[Role]
    permissions: frozenset[Permission]
    regions: frozenset[str] | None  # None: rows of every region, and those without one
    teams: frozenset[str] | None  # the same of teams
    clearance: Privacy
    credential: str  # "api-key:<id>", "token:<issuer>" or "local"


LOCAL = Principal(
    subject="local",
    roles=frozenset(Role),
    permissions=frozenset(Permission),
    regions=None,
    teams=None,
    clearance=Privacy.RESTRICTED,
    credential="local",
)  # who sits at the machine of a service that listens on loopback alone


def may(principal: Principal, permission: Permission) -> Forbidden | None:
    """Return why the principal may not do this; None if it may.

    Ask `is None`: a refusal is falsy too, so `if may(...)` would let everybody pass.
    """
    if permission in principal.permissions:
        return None
    return Forbidden(
        rule=f"this needs the permission {permission}",
        value=f"a credential of {principal.subject!r} without it",
        remedy="ask an administrator for a role or a scope that has it",
    )


def sees_row(principal: Principal, *, region: str | None = None, team: str | None = None) -> bool:
    """Is a row of this region and team (None: it has none) for the principal's eyes?"""
    return _within(region, principal.regions) and _within(team, principal.teams)


def sees_class(principal: Principal, privacy: Privacy) -> bool:
    """Is a field of this privacy class for the principal's eyes?"""
    return principal.clearance.covers(privacy)


def _within(value: str | None, allowed: frozenset[str] | None) -> bool:
    return allowed is None or (value is not None and value in allowed)
