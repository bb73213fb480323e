"""Limits of one replica: what a request may be, how often one may ask, how many may be inside.

They hold for every route, before any framework sees a request and behind the guard, so that who is
not known costs nothing but a look at the credential.
"""

from __future__ import annotations

import asyncio
import math
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from serving.access.buckets import Buckets
from serving.access.clients import client_address
from serving.access.guard import PRINCIPAL
from serving.api import bounds
from serving.api.answers import CLOSE, INFERENCE, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope

    from cluster.settings import LimitSettings
    from serving.api.bounds import Bounds

LARGE = 2**16  # bytes from which a body is looked at beside the loop
ALWAYS = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}  # whoever asks, how often
_FULL = Refused.of(
    HTTPStatus.SERVICE_UNAVAILABLE, "more requests are under way than can be: ask again later"
)
_CUT = Refused.of(HTTPStatus.BAD_REQUEST, "a body must be sent whole, got a part: send it again")
_LATE = "a body must be there within {:g} seconds, and one more for {} bytes: send it at once"


class Inside:
    """A request under way."""

    __slots__ = ("held", "who")

    def __init__(self, who: str) -> None:
        self.who = who
        self.held = 0  # bytes of its body


class Limits:
    """For one event loop."""

    def __init__(self, settings: LimitSettings, now: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._now = now
        self._buckets = Buckets(
            rate_per_s=settings.rate_per_s, burst=settings.burst, most=settings.callers
        )
        self._bounds = bounds.table(settings)
        self._inside: dict[str, int] = {}
        self._count = 0
        self._held = 0

    def enter(self, scope: Scope) -> Inside | Refused:
        """Let a request in that the guard let pass; who is in must `leave`."""
        if scope["path"] in ALWAYS:
            return self._entered("")
        if (wrong := bounds.wrong_head(scope, self.settings)) is not None:
            return wrong
        who = caller(scope)
        if (wait_s := self._buckets.take(who, self._now())) > 0.0:
            return self._too_often(wait_s)
        if self._count >= self.settings.inside:
            return _FULL
        if self._inside.get(who, 0) >= self.settings.inside_each:
            return self._too_many()
        return self._entered(who)

    def leave(self, inside: Inside) -> None:
        """A request is answered."""
        self._count -= 1
        self._held -= inside.held
        left = self._inside[inside.who] - 1
        if left:
            self._inside[inside.who] = left
        else:
            del self._inside[inside.who]

    async def body(self, inside: Inside, scope: Scope, receive: Receive) -> bytes | Refused:
        """Return the body of a request, or why it is not taken: then it was not read to its end."""
        found = self._of(scope["path"] if scope["method"] == "POST" else "")
        if (wrong := bounds.wrong_body(scope, found)) is not None:
            return wrong
        body = await self._read(inside, found, receive)
        if isinstance(body, Refused):
            return body
        text = bounds.json_of(scope, body) if found is self._bounds[INFERENCE] else body
        if bounds.is_small(text, found, self.settings.depth):
            return body
        depth = self.settings.depth
        if len(text) < LARGE:
            wrong = bounds.wrong_shape(text, found, depth)
        else:
            wrong = await asyncio.to_thread(bounds.wrong_shape, text, found, depth)
        return body if wrong is None else wrong

    def _of(self, path: str) -> Bounds:
        if (found := self._bounds.get(path)) is not None:
            return found
        return self._bounds[next(filter(path.startswith, bounds.BELOW), "")]

    async def _read(self, inside: Inside, found: Bounds, receive: Receive) -> bytes | Refused:
        slow, began = self.settings, asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(began + slow.body_s) as limit:
                parts: list[bytes] = []
                while (message := await receive())["type"] == "http.request":
                    parts.append(message.get("body", b""))
                    if (refused := self._keep(inside, len(parts[-1]), found)) is not None:
                        return refused
                    if not message.get("more_body"):
                        return parts[0] if len(parts) == 1 else b"".join(parts)
                    later = inside.held / slow.body_bytes_per_s
                    limit.reschedule(began + slow.body_s + later)
                return _CUT
        except TimeoutError:
            rule = _LATE.format(slow.body_s, slow.body_bytes_per_s)
            return Refused.of(HTTPStatus.REQUEST_TIMEOUT, rule, CLOSE)

    def _keep(self, inside: Inside, size: int, found: Bounds) -> Refused | None:
        """Count the bytes that came; return why there are too many."""
        inside.held += size
        self._held += size
        if inside.held > found.most:
            return bounds.too_large(found)
        is_alone = self._held == inside.held
        return None if is_alone or self._held <= self.settings.held_bytes else _FULL

    def _entered(self, who: str) -> Inside:
        self._inside[who] = self._inside.get(who, 0) + 1
        self._count += 1
        return Inside(who)

    def _too_often(self, wait_s: float) -> Refused:
        return _again(
            wait_s,
            f"a caller must ask at most {self.settings.rate_per_s:g} times a second",
        )

    def _too_many(self) -> Refused:
        most = self.settings.inside_each
        return _again(1.0, f"a caller must have at most {most} requests under way")


def caller(scope: Scope) -> str:
    """Return whose rate a request counts to: a key, who a token is of, or else an address."""
    principal = scope.get("state", {}).get(PRINCIPAL)
    if principal is not None and principal.credential != "local":
        is_key = principal.credential.startswith("api-key:")
        return str(
            principal.credential if is_key else f"{principal.credential} {principal.subject}"
        )
    return f"address:{client_address(scope)}"


def _again(wait_s: float, rule: str) -> Refused:
    seconds = max(1, math.ceil(wait_s))
    return Refused.of(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"{rule}, got more: ask again in {seconds} s",
        (b"retry-after", b"%d" % seconds),
    )
