"""The short way: hot requests to the front of this process, all else to Serve's own steps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from serving import ahead
from serving.api.front import MANY, ONE, Front

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send


class _Front(Front):
    """A front that only notes what it is given."""

    def __init__(self) -> None:
        self.given: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.given.append(scope["path"])


@pytest.fixture
def front() -> Iterator[_Front]:
    """The front of this process."""
    made = _Front()
    ahead.use(made)
    yield made
    ahead._front.clear()


def _behind(scopes: list[dict[str, Any]]) -> list[str]:
    """Return the paths that went on to Serve."""
    went = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        went.append(scope["path"])

    [middleware] = ahead.middlewares()
    application = middleware.cls(serve, *middleware.args, **middleware.kwargs)
    for scope in scopes:
        asyncio.run(application(scope, None, None))  # type: ignore[arg-type]
    return went


def test_only_decisions_take_the_short_way(front: _Front) -> None:
    hot = [{"type": "http", "method": "POST", "path": path} for path in (ONE, MANY)]
    others = [
        {"type": "http", "method": "GET", "path": ONE},
        {"type": "http", "method": "POST", "path": "/v1/events"},
        {"type": "http", "method": "GET", "path": "/-/healthz"},
        {"type": "websocket", "path": ONE},
        {"type": "lifespan", "path": "lifespan"},
    ]
    assert _behind([*hot, *others]) == [each["path"] for each in others]
    assert front.given == [ONE, MANY]


def test_a_process_without_a_front_leaves_all_to_serve() -> None:
    """Such as the proxy, in which Serve puts the same middleware."""
    assert _behind([{"type": "http", "method": "POST", "path": ONE}]) == [ONE]
