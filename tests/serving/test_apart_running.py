"""A candidate in replicas of its own beside a running service: begun, asked by HTTP, and ended."""

from __future__ import annotations

import json
import os
import signal
import time
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cluster.errors import Refusal
from cluster.listening import check, processes
from cluster.listening.guards import What
from cluster.settings import ROOT, Settings
from cluster.workspace import Workspace
from serving.releases.own import PREFIX, Own
from serving.releases.plan import Step
from serving.slots import releases as store
from tests.serving import releasing
from tests.serving.running import Running, running
from tests.serving.simulated_releases import release

if TYPE_CHECKING:
    from pathlib import Path

    from serving.slots.releases import Kept

pytestmark = pytest.mark.drill
BEGUN_S, COMPILED_S, ENDED_S = 120, 600, 120


def _begin(settings: Settings, own: Own) -> Kept:
    """Begin a release that gives all to a candidate of its own replicas."""
    made = release()
    steps = (Step(weight=100.0, bake_minutes=60.0),)
    plan = made.plan.model_copy(update={"isolated": True, "own": own, "steps": steps})
    with Workspace.open(settings) as place:
        parts = {"stable": releasing.blue(place), "candidate": releasing.candidate(place)}
        times = dict.fromkeys(("since", "began"), place.clock())  # the service judges it
        after = made.model_copy(update={"plan": plan, **parts, **times})
        return _put(place, after, None)


def _put(place: Workspace, after: Any, before: Kept | None) -> Kept:
    kept = store.put(place, after, before, **releasing.SAID)
    assert not isinstance(kept, Refusal), str(kept)
    return kept


def _until_its(service: Running, lead: dict[str, Any], within_s: float) -> dict[str, Any]:
    """Return the first decision of the candidate; all before are those of the stable model."""
    until = time.monotonic() + within_s
    asked = {"lead": lead["entity"], "as_of": lead["time"].isoformat(), "deadline_ms": 10_000}
    while True:
        told = httpx.post(f"{service.url}/v1/decisions", json=asked, timeout=30).json()
        assert told["fallback"] is None
        if (told["release"] or {}).get("arm") == "candidate":  # the service follows in a second
            return dict(told)
        assert time.monotonic() < until
        time.sleep(1)


def _replace(service: Running) -> None:
    """Kill the replica that answers, and wait for the next."""
    (pid,) = [n for n in service.replicas() if PREFIX not in service.processes()[n]]
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + BEGUN_S
    while not _is_ready(service):
        assert time.monotonic() < until
        time.sleep(1)


def _is_ready(service: Running) -> bool:
    try:
        return httpx.get(f"{service.url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("profile", ["portable", "fast"])
def test_it_is_begun_asked_and_ended(
    copied: Callable[[Path], Settings], tmp_path: Path, profile: str
) -> None:
    """It opens no port to others, and nobody reaches it over HTTP."""
    settings = copied(tmp_path / "home")
    with running(settings.home, tmp_path / "log", profile=profile) as service:
        kept = _begin(settings, Own())
        with Workspace.open(settings) as place:
            (lead,) = releasing.leads(place, 1)
        told = _until_its(service, lead, BEGUN_S)
        assert told["basis"]["model"] == kept.release.candidate.model
        found = check.listening(settings)
        mine = [each for each in found if PREFIX in each.socket.process.name]
        assert mine
        assert [each.socket.place for each in found if not each.socket.on_loopback] == []
        assert check.main(settings, as_json=True) == 0
        for each in mine:
            if each.what is What.BEHIND:
                url = f"http://{each.socket.place}"
                sent = [httpx.post(f"{url}{path}", json={}) for path in ("/", "/v1/decisions")]
                assert {answer.status_code for answer in sent} <= {404, 500}
        _replace(service)
        assert _until_its(service, lead, BEGUN_S)["basis"] == told["basis"]
        with Workspace.open(settings) as place:
            _put(place, kept.release.aborted("enough"), kept)
        until = time.monotonic() + ENDED_S
        while any(PREFIX in each.name for each in processes.of_workspace(settings.home)):
            assert time.monotonic() < until
            time.sleep(1)


def test_it_may_be_of_other_code(copied: Callable[[Path], Settings], tmp_path: Path) -> None:
    """Its decisions name that; without leave of the settings nobody runs it."""
    settings, archive = copied(tmp_path / "home"), tmp_path / "next.zip"
    _pack(archive)
    uri = f"file://{archive}"
    allowed = {"FUNNELCAST_SERVE__CANDIDATES": json.dumps({"code": [f"file://{tmp_path}/"]})}
    told = tmp_path / "log"
    with Workspace.open(settings) as place:
        (lead,) = releasing.leads(place, 1)
    with running(settings.home, told, profile="portable", environ=allowed) as service:
        _begin(settings, Own(code=uri))
        its = _until_its(service, lead, COMPILED_S)
    with running(settings.home, told, profile="portable") as service:
        time.sleep(5)
        assert not [p for p in processes.of_workspace(settings.home) if PREFIX in p.name]
        asked = {"lead": lead["entity"], "deadline_ms": 10_000}
        other = httpx.post(f"{service.url}/v1/decisions", json=asked, timeout=30).json()
    assert other["release"]["arm"] == "stable"
    assert its["basis"]["code"] != other["basis"]["code"]


def _pack(archive: Path) -> None:
    """Pack this repository with a word more."""
    with zipfile.ZipFile(archive, "w") as packed:
        for folder in ("cluster", "features", "serving", "jobs", "configs"):
            for path in sorted((ROOT / folder).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    packed.write(path, f"next/{path.relative_to(ROOT)}")
        packed.writestr("next/serving/added.py", '"""Another version."""\n')
