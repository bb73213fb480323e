"""Credentials: who sends a request, by key, by token, by the session of a browser, or because it
came from this machine.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.access.apikeys import PREFIX
from cluster.access.principal import LOCAL, Unauthenticated
from serving.access import browsers, sessions

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import Scope

    from cluster.access.keyring import KeyRing
    from cluster.access.principal import Forbidden, Principal, Unavailable
    from cluster.access.tokens import Tokens
    from serving.access.sessions import Sessions
    from serving.access.signedout import SignedOut

    type Answer = Principal | Unauthenticated | Forbidden | Unavailable

SCHEME = "bearer"
_NONE = Unauthenticated(
    rule="a request must say who sends it",
    value="none that does",
    remedy="send Authorization: Bearer with an API key or a token",
)
_TWO = Unauthenticated(
    rule="a request must have one Authorization header of the scheme Bearer",
    value="another",
    remedy="send Authorization: Bearer with an API key or a token",
)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What is believed. Without `required`, who brings nothing is the one at this machine."""

    required: bool
    keys: KeyRing | None = None
    tokens: Tokens | None = None
    sessions: Sessions | None = None  # without, none counts
    signed_out: SignedOut | None = None  # sessions that count no more

    async def who(self, scope: Scope, now: datetime) -> Answer:
        """Return who sends a request at `now`, or why nobody knows."""
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        if not sent:
            found = await self._in_session(scope, now)
            return self._unsaid(scope) if found is None else found
        scheme, _, text = sent[0].decode("latin-1").partition(" ")
        if len(sent) > 1 or scheme.lower() != SCHEME or not text:
            return _TWO
        return await self._known(text.strip(), now)

    async def _in_session(self, scope: Scope, now: datetime) -> Principal | Unavailable | None:
        """Return who a session is of, where one counts; None of a session that is over."""
        text = sessions.sent(scope)
        if text is None or self.sessions is None or self.keys is None:
            return None
        id = self.sessions.key_id(text, now)
        if id is None or await self._is_out(text):
            return None
        found = self.keys.holder(id, now)
        return None if isinstance(found, Unauthenticated) else found

    async def _is_out(self, session: str) -> bool:
        """Was a session signed out? The database is asked, beside the loop."""
        out = self.signed_out
        return out is not None and await asyncio.to_thread(out.has, session)

    def _unsaid(self, scope: Scope) -> Principal | Unauthenticated | Forbidden:
        return _NONE if self.required else _local(scope)

    async def _known(self, text: str, now: datetime) -> Answer:
        if text.startswith(PREFIX):
            return self.keys.authenticate(text, now) if self.keys else _NONE
        if self.tokens is None:
            return _NONE
        if (kept := self.tokens.cached(text, now)) is not None:
            return kept
        # One that is met first takes a signature, and perhaps keys of its issuer: beside the loop
        return await asyncio.to_thread(self.tokens.authenticate, text, now)


def _local(scope: Scope) -> Principal | Forbidden:
    refused = browsers.foreign(scope)
    return LOCAL if refused is None else refused
