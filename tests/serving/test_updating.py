"""New code for a service that runs: under load nobody is refused and nothing is decided twice; code
that does not start costs nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cluster import runs
from cluster.errors import WrongUse
from cluster.settings import ROOT, Settings
from cluster.workspace import Workspace
from serving import updating
from serving.answer.questions import id_of_key
from serving.client import AsyncClient
from serving.running import Running
from serving.wire.decisions import DecisionOut
from tests.serving.running import running

if TYPE_CHECKING:
    from tests.serving.running import Running as Service

RATE, AFTER_S = 15, 6.0  # requests a second, and how long they go on when the new code answers
FLIP_S = 1.0  # after which no answer is of the old code
KNOWN_S, UPDATE_S = 60.0, 400
SURGE, NO_SURGE = "max_surge_percent=100", "max_surge_percent=0"
HARMLESS = ("serving/wording.py", '"""', '"""Of the next release. ')
SAID = {"profile": "portable", "host": "127.0.0.1", "port": 8000}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one question."""

    key: str
    sent: float
    heard: float
    outcome: DecisionOut | Exception


def _copy(to: Path, *changes: tuple[str, str, str]) -> Path:
    """Copy the code with changes, each of a file: what stands first in it, and what is to."""
    for folder in (*runs.PACKAGES, "configs"):
        shutil.copytree(ROOT / folder, to / folder)  # with kernels: they need no compiler then
    for name, before, after in changes:
        text = (to / name).read_text()
        assert before in text
        (to / name).write_text(text.replace(before, after, 1))
    return to


def _update(service: Service, code: Path) -> subprocess.CompletedProcess[bytes]:
    """Bring code to a service, as who releases it does."""
    free = {k: v for k, v in os.environ.items() if not k.startswith(("FUNNELCAST_", "RAY_"))}
    return subprocess.run(
        [sys.executable, "-m", "serving", "--update"],
        cwd=code, env=free | {"FUNNELCAST_HOME": str(service.home)},
        capture_output=True, check=False, timeout=UPDATE_S,
    )  # fmt: skip


def _until_known(service: Service) -> None:
    """Wait until the service may be updated."""
    until = time.monotonic() + KNOWN_S
    while not (service.home / "ray" / "service.json").exists():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture
def home(copied: Callable[[Path], Settings], tmp_path: Path) -> Path:
    """A copy of the small world."""
    return copied(tmp_path / "home").home


@pytest.fixture
def leads(home: Path) -> list[str]:
    """Its open leads."""
    with Workspace.open(Settings(home=home, buckets=4)) as opened:
        found: list[str] = opened.tables.read("scores_lead_qualification")["entity"].to_pylist()
    return found


async def _under_load(
    service: Service, leads: list[str], code: Path
) -> tuple[list[Answer], float, str]:
    """Ask at a constant rate while code is brought; return the answers, when that was told, and the
    words of who did it.
    """
    loop, told, run = asyncio.get_running_loop(), 0.0, uuid.uuid4().hex
    update = asyncio.create_task(asyncio.to_thread(_update, service, code))
    async with AsyncClient(service.url, deadline_ms=2_000) as client:
        asked, began = [], loop.time()
        while not update.done() or loop.time() < told + AFTER_S:
            number = len(asked)
            lead, key = leads[number % len(leads)], f"{run}-{number}"
            asked.append(asyncio.create_task(_ask(client, lead, key)))
            await asyncio.sleep(max(0.0, began + len(asked) / RATE - loop.time()))
            told = told or (loop.time() if update.done() else 0.0)
        answers = await asyncio.gather(*asked)
    done = update.result()
    assert done.returncode == 0, done.stderr.decode()
    return answers, told, done.stderr.decode()


async def _ask(client: AsyncClient, lead: str, key: str) -> Answer:
    sent, outcome = time.monotonic(), None
    try:
        outcome = await client.decide(lead=lead, idempotency_key=key)
    except Exception as error:  # counted by the test
        outcome = error
    return Answer(key=key, sent=sent, heard=time.monotonic(), outcome=outcome)


def _made(home: Path) -> Counter[str]:
    """Return how often each decision is in the journal, which verifies."""
    with Workspace.open(Settings(home=home, buckets=4)) as workspace:
        assert workspace.journal.verify()
        return Counter(entry.id for entry in workspace.journal.entries("decision"))


@pytest.mark.drill
@pytest.mark.parametrize("profile", ["portable", "fast"])
def test_new_code_is_brought_under_load(
    home: Path, leads: list[str], tmp_path: Path, profile: str
) -> None:
    """No request fails, none is decided twice, and once it is told none is answered by the old."""
    code = _copy(tmp_path / "code", HARMLESS)
    with running(home, tmp_path / "log", profile=profile) as service:
        _until_known(service)
        answers, told, words = asyncio.run(_under_load(service, leads, code))
    failed = [
        (round(each.sent - told, 1), round(each.heard - told, 1), str(each.outcome))
        for each in answers
        if isinstance(each.outcome, Exception)
    ]
    assert failed == [], (len(answers), failed, words)
    made = _made(home)
    assert {made[id_of_key(each.key)] for each in answers} == {1}
    codes = [(each, _code_of(each)) for each in answers]
    old, new = runs.code_version(), runs.code_version(root=code)
    assert {found for _, found in codes} == {old, new}
    late = [each.heard - told for each, found in codes if found == old]
    assert max(late) <= FLIP_S, words
    assert all("running" in line for line in _states(words)), words


def _code_of(answer: Answer) -> str:
    assert isinstance(answer.outcome, DecisionOut)
    return answer.outcome.basis.code


def _states(words: str) -> list[str]:
    """Return how replicas were, look by look."""
    found = [line for line in words.splitlines() if line.startswith("replicas: ")]
    assert found
    return found


@pytest.mark.drill
def test_without_surge_nobody_answers_for_a_while(
    home: Path, leads: list[str], tmp_path: Path
) -> None:
    """The mutant: the only replica stops before the new one starts."""
    code = _copy(tmp_path / "code", ("serving/app.py", SURGE, NO_SURGE))
    with running(home, tmp_path / "log", profile="portable") as service:
        _until_known(service)
        answers, _, words = asyncio.run(_under_load(service, leads, code))
    assert not all(" running" in line for line in _states(words)), words
    assert any(isinstance(each.outcome, Exception) for each in answers)


@pytest.mark.drill
def test_code_that_does_not_start_leaves_the_old_in_place(
    home: Path, leads: list[str], tmp_path: Path
) -> None:
    """Neither does code that has nothing to answer with. Mended it is brought, and brought again it
    changes nothing.
    """
    broken = _copy(
        tmp_path / "broken", ("serving/answer/lane.py", "self._lost = 0", "self._lost = x")
    )
    unready = _copy(
        tmp_path / "unready",
        ("serving/answer/service.py", "return self.slots.missing", 'return ("no model",)'),
    )
    with running(home, tmp_path / "log", profile="portable") as service:
        _until_known(service)
        replicas = service.replicas()
        for code, why in ((broken, "name 'x' is not defined"), (unready, "no model")):
            done = _update(service, code)
            assert (done.returncode, why in done.stderr.decode()) == (1, True), done.stderr.decode()
            assert "the old ones go on" in done.stderr.decode()
            asked = {"lead": leads[0], "deadline_ms": 5_000}
            found = httpx.post(f"{service.url}/v1/decisions", json=asked, timeout=30)
            assert (found.status_code, found.json()["basis"]["code"]) == (200, runs.code_version())
            assert service.replicas() == replicas
        for code in (ROOT, ROOT):
            assert _update(service, code).returncode == 0
            assert service.replicas() == replicas
        (unready / "serving/answer/service.py").write_bytes(
            (ROOT / "serving/answer/service.py").read_bytes()
        )
        assert _update(service, unready).returncode == 0
        assert set(service.replicas()).isdisjoint(replicas)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("serving.app.NotReady: it must answer at once, got 'no model'", "got 'no model'"),
        ("NameError: name 'x' is not defined", "name 'x' is not defined"),
        ("pydantic.ValidationError: 1 error for Args\n  field\n    missing", "1 error for Args"),
        ("", "self._lost = x"),
    ],
)
def test_why_it_did_not_start_is_told_in_a_line(last: str, said: str) -> None:
    """The last thing that was raised, whatever it is called; else the last line."""
    message = f"""The deployment failed to start 3 times in a row. Error:
ray::ServeReplica:funnelcast:decisions.initialize_and_get_metadata() (pid=23521)
  File "replica.py", line 1928, in initialize
    raise RuntimeError(traceback.format_exc()) from None
{"RuntimeError: Traceback (most recent call last):" if last else ""}
  File "lane.py", line 46, in __init__
    self._lost = x
{last}
"""
    found: Any = SimpleNamespace(message=message)
    status: Any = SimpleNamespace(
        applications={updating.NAME: SimpleNamespace(deployments={"decisions": found})}
    )
    assert said in str(updating.not_started(status)).partition(": mend that")[0]


def test_what_failed_is_told_under_another_name() -> None:
    """Serve tries nothing again that failed under one; what runs keeps its own."""
    at = Running(address="a", root="/first", version="one", **SAID)
    assert [at.told(version) for version in ("one", "two")] == ["one", "two"]
    failed = at.model_copy(update={"failed": "two"})
    assert [failed.told(version) for version in ("one", "two", "three")] == [
        "one",
        "two+1",
        "three",
    ]
    again = at.model_copy(update={"failed": "two+1"})
    assert again.told("two") == "two+2"
    assert at.model_copy(update={"version": "two+2"}).told("two") == "two+2"


@pytest.mark.parametrize("text", [None, "", "{}", json.dumps(SAID)])
def test_no_service_is_updated_that_is_not_known(tmp_path: Path, text: str | None) -> None:
    """It is refused, with how to start one; what is kept is found."""
    (tmp_path / "ray").mkdir()
    kept: Any = Running(address="a", version="one", **SAID)
    if text is not None:
        (tmp_path / "ray" / "service.json").write_text(text)
    with pytest.raises(WrongUse, match="must run over"):
        Running.find(tmp_path)
    kept.keep(tmp_path)
    assert (Running.find(tmp_path), kept.moved_to) == (kept, None)
    Running.forget(tmp_path)
    with pytest.raises(WrongUse, match="start it with"):
        Running.find(tmp_path)
