"""Fixtures that several tests of the service share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.serving import dominions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving.dominions import Dominion


@pytest.fixture(scope="module")
def serve_session(ray_session: None) -> Iterator[None]:
    """Start Ray Serve without HTTP, for candidates that decide in replicas of their own."""
    from ray import serve

    serve.start(proxy_location="Disabled")
    yield
    serve.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dominion]:
    """Return a small company of several regions and teams, and its service."""
    with dominions.dominion(tmp_path_factory.mktemp("dominion")) as found:
        yield found
