"""Fixtures that several tests of the service share."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from cluster.database import open_database
from cluster.settings import CandidateSettings
from tests.serving import dominions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster.database import Database
    from serving.apart.calling import Apart
    from tests.serving.dominions import Dominion


@pytest.fixture(scope="module")
def serve_session(ray_session: None) -> Iterator[None]:
    """Start Ray Serve without HTTP, for candidates that decide in replicas of their own."""
    from ray import serve

    serve.start(proxy_location="Disabled")
    yield
    serve.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield an empty database of either kind."""
    here = f"sqlite:///{tmp_path / 'x.db'}"
    url = here if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    with closing(open_database(url)) as opened:
        yield opened


@pytest.fixture
def finds_apart(serve_session: None) -> Apart:
    """What finds candidates on the one Ray Serve."""
    from serving.apart.calling import Apart  # Ray reads its environment first

    return Apart(CandidateSettings())


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dominion]:
    """Return a small company of several regions and teams, and its service."""
    with dominions.dominion(tmp_path_factory.mktemp("dominion")) as found:
        yield found
