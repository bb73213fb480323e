"""Requests made from the description of the API, all checks, over every route and from one to the
next: what is described is what is served, and nothing fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster.access import keyring
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keystore import Asked, KeyStore
from cluster.workspace import Workspace
from serving.access.credentials import Credentials
from serving.answer.service import DecisionService
from serving.api.application import make_application
from serving.reading import catalogue
from serving.slots.slot import Answer
from tests.serving.listening import listening

if TYPE_CHECKING:
    from cluster.settings import Settings

RULES = Path(__file__).with_name("schemathesis.toml")
PEPPER = bytes(32)
ORDINARY = ("fuzzing", "stateful")  # phases of a run
ANSWERS = {
    "lead": Answer(target="lead_qualification", policy="lead_routing"),
    "opportunity": Answer(target="opportunity_win", policy="deal_routing"),
}
type Report = dict[str, Any]


@pytest.fixture(scope="module")
def where(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Give the URL of a service that asks for keys, and a key that may all it answers."""
    home = tmp_path_factory.mktemp("described") / "home"
    with Workspace.open(copied(home)) as workspace:
        service = DecisionService(workspace, ANSWERS)
        ring = keyring.KeyRing(workspace.database, load_roles(), PEPPER)
        asks = Credentials(required=True, keys=ring)
        with listening(make_application(service, asks)) as url:
            yield url, _key(workspace)
        service.close()


def _key(workspace: Workspace) -> str:
    asked = Asked(name="x", roles=("application", "ml_engineer"), lifetime=timedelta(days=1))
    act = Act(actor="ada", reason="a test", now=workspace.clock())
    return KeyStore(workspace.database, load_roles()).issue(asked, act, pepper=PEPPER).key.text


def _run(where: tuple[str, str], folder: Path, *more: str) -> tuple[Report, str]:
    """Return what a run reports, and what it says of it to people."""
    url, key = where
    report = folder / "report.json"
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(RULES), "run",
        f"{url}/openapi.json", "-H", f"Authorization: Bearer {key}", "--checks", "all",
        "--seed", "7", "--continue-on-failure", "--suppress-health-check", "all",
        "--request-timeout", "100", "--generation-database", "none",
        "--report-json-path", str(report), *more,
    ]  # fmt: skip
    environ = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=False)
    said = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    assert report.exists(), said[-3000:]
    return json.loads(report.read_text()), said


def _must_be_clean(
    found: Report, said: str, *, requests: int, phases: tuple[str, ...] = ORDINARY
) -> None:
    assert (found["failures"], found["errors"], found["exit_code"]) == ([], [], 0), said[-5000:]
    cases = found["test_cases"]
    assert cases["generated"] - cases["without_checks"] >= requests
    assert found["operations"]["tested"] == found["operations"]["total"] >= 24
    assert {name for name, each in found["phases"].items() if each["status"] == "success"} >= {
        *phases
    }


def test_what_is_described_is_what_is_served(where: tuple[str, str], tmp_path: Path) -> None:
    """No 5xx (but of a deadline that passed), no answer out of its schema, nothing wrong taken in,
    and no route without its credential. Every bound of every field is tried in the drill.
    """
    asked = ("--phases", ",".join(ORDINARY), "--max-examples", "6")
    _must_be_clean(*_run(where, tmp_path, *asked), requests=200)


@pytest.mark.drill
def test_what_is_described_is_what_is_served_ten_thousand_times(
    where: tuple[str, str], tmp_path: Path
) -> None:
    """The same with other requests, and more of them."""
    found, said = _run(where, tmp_path, "--max-examples", "450", "--seed", "11")
    _must_be_clean(found, said, requests=10_000, phases=(*ORDINARY, "coverage"))


@contextmanager
def _planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def broken(_: Any) -> Any:
        raise ValueError("nobody thought of this")

    with monkeypatch.context() as patched:
        patched.setattr(catalogue, "models", broken)
        yield


@pytest.mark.drill
def test_an_error_that_nobody_handles_is_found(
    where: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of all of the above: one planted in one route."""
    only = ("--include-path", "/v1/models", "--max-examples", "2")
    found, _ = _run(where, tmp_path, *only)
    assert found["failures"] == []
    with _planted(monkeypatch):
        found, _ = _run(where, tmp_path, *only)
    assert "ServerError" in {each["type"] for each in found["failures"]}


def test_a_route_that_lets_anybody_in_is_found(
    where: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the guard: what is described to need a key does not ask for it."""
    monkeypatch.setattr("serving.access.guard.Guard.admit", _nobody_is_asked)
    only = ("--include-path", "/v1/policies", "--max-examples", "2")
    found, _ = _run(where, tmp_path, *only)
    assert "IgnoredAuth" in {each["type"] for each in found["failures"]}


async def _nobody_is_asked(*_: Any) -> None:
    return None
