"""Credentials that count what was brought and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cluster.access.principal import Forbidden, Principal, Unauthenticated
from serving.access.credentials import Credentials
from serving.observe import meters

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import Scope

    from serving.access.credentials import Answer
    from serving.observe.tallies import Tallies

KNOWN = "known"


@dataclass(frozen=True, kw_only=True)
class Counted(Credentials):
    """Believes what others do."""

    tallies: Tallies

    @classmethod
    def of(cls, others: Credentials, tallies: Tallies) -> Self:
        """Return those that count."""
        return cls(**vars(others), tallies=tallies)

    async def who(self, scope: Scope, now: datetime) -> Answer:
        """Return who sends a request at `now`, or why nobody knows."""
        found = await super().who(scope, now)
        self.tallies.add(meters.AUTHENTICATIONS, _brought(scope, found), _outcome(found))
        return found


def _brought(scope: Scope, found: Answer) -> str:
    """Return the kind of the credential, as far as it is known: api-key, token, local, none."""
    if isinstance(found, Principal):
        return found.credential.partition(":")[0]
    return "unknown" if any(name == b"authorization" for name, _ in scope["headers"]) else "none"


def _outcome(found: Answer) -> str:
    if isinstance(found, Principal):
        return KNOWN
    if isinstance(found, Unauthenticated):
        return "unauthenticated"
    return "forbidden" if isinstance(found, Forbidden) else "unavailable"
