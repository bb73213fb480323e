"""The Ray session's guard, and the choice of a runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import runner, session
from cluster.errors import WrongUse
from cluster.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a low threshold."""
    return Settings(home=tmp_path / "home", ray_from_rows=100)


def test_a_token_is_made_once_for_its_owner_alone(settings: Settings) -> None:
    """Sixty-four hex digits, mode 0600, the same at the next call."""
    path = session.token_file(settings.home)
    token = path.read_text()
    assert (len(token), path.stat().st_mode & 0o777) == (64, 0o600)
    assert session.token_file(settings.home).read_text() == token


def test_a_token_that_others_could_read_is_closed(settings: Settings) -> None:
    """As Ray itself makes one under the usual mask."""
    path = session.token_file(settings.home)
    path.chmod(0o644)
    environ: dict[str, str] = {}
    session.guard(settings, environ)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_guard_asks_for_the_token_and_stays_on_loopback(settings: Settings) -> None:
    """Before Ray is imported: authentication on, addresses of this machine only."""
    environ: dict[str, str] = {}
    session.guard(settings, environ)
    assert environ["RAY_AUTH_MODE"] == "token"
    assert environ["RAY_AUTH_TOKEN_PATH"] == str(settings.home / "ray" / "token")
    assert environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] == "0"


def test_a_given_token_and_a_given_cluster_are_left_alone(settings: Settings) -> None:
    """Whoever set a token keeps it; another machine's cluster keeps its addresses."""
    environ = {"RAY_AUTH_TOKEN": "theirs", "RAY_ADDRESS": "10.0.0.7:6379"}
    session.guard(settings, environ)
    assert "RAY_AUTH_TOKEN_PATH" not in environ
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in environ


@pytest.mark.parametrize(
    ("asked", "rows", "chosen"),
    [("auto", 99, "inline"), ("auto", 100, "ray"), ("ray", 1, "ray"), ("inline", 10**9, "inline")],
)
def test_the_runner_fits_the_input_unless_it_is_asked_for(
    settings: Settings, asked: str, rows: int, chosen: str, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it says why."""
    monkeypatch.setattr(session, "is_connected", lambda: False)
    choice = runner.choose(asked, rows, settings)
    assert choice.runner == chosen
    assert choice.reason in str(choice)


def test_an_unknown_runner_names_the_nearest(settings: Settings) -> None:
    """One clear line."""
    with pytest.raises(WrongUse, match="did you mean 'inline'"):
        runner.choose("inlin", 1, settings)
