"""Roles: seven names, each with what it may do and the highest privacy class it sees.

What each may do is a value of configs/access.yaml. Several roles add up: all their permissions,
and the highest of their clearances.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator

from cluster.access.permissions import Permission
from cluster.access.privacy import Privacy
from cluster.errors import WrongUse, nearest
from cluster.settings import Frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Role(StrEnum):
    """What somebody is here for."""

    VIEWER = "viewer"
    APPLICATION = "application"
    PLANNER = "planner"
    REVIEWER = "reviewer"
    ML_ENGINEER = "ml_engineer"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


def _one_of(names: type[StrEnum]) -> Callable[[object], object]:
    """Return a check that refuses an unknown name with the nearest valid one."""

    def check(given: object) -> object:
        if str(given) not in set(names):
            raise ValueError(f"must be known, {nearest(str(given), names)}")
        return given

    return check


class Grant(Frozen):
    """What a role may do and see."""

    clearance: Annotated[Privacy, BeforeValidator(_one_of(Privacy))]
    permissions: frozenset[Annotated[Permission, BeforeValidator(_one_of(Permission))]]


class Roles(Frozen):
    """The grant of every role; none may be left out, so that none is forgotten."""

    viewer: Grant
    application: Grant
    planner: Grant
    reviewer: Grant
    ml_engineer: Grant
    administrator: Grant
    auditor: Grant

    def of(self, role: Role) -> Grant:
        """Return the grant of a role."""
        grant: Grant = getattr(self, role.value)
        return grant

    def permissions(self, roles: Iterable[Role]) -> frozenset[Permission]:
        """Return all that one of the roles may do; nothing without a role."""
        return frozenset[Permission]().union(*(self.of(role).permissions for role in roles))

    def clearance(self, roles: Iterable[Role]) -> Privacy:
        """Return the highest clearance of the roles; public without a role."""
        found = (self.of(role).clearance for role in roles)
        return max(found, key=lambda privacy: privacy.rank, default=Privacy.PUBLIC)


def known[N: StrEnum](names: type[N], what: str, given: str) -> N:
    """Return the member of `names` that `given` spells; WrongUse with the nearest if none does."""
    if given not in set(names):
        raise WrongUse(f"{what} must be known, got '{given[:80]}': {nearest(given, names)}")
    return names(given)
