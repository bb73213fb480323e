"""The service in processes of its own: what it listens on, and what its death costs."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.answer.questions import id_of_key
from serving.client import AsyncClient, Retries
from serving.wire.decisions import DecisionOut
from tests.serving.running import Running, running

pytestmark = pytest.mark.drill
KILLS, RATE = 20, 60  # requests a second
LISTENS = "0A"  # state of a socket in /proc/net/tcp
LOOPBACK = {  # as /proc spells 127.0.0.1, ::1 and ::ffff:127.0.0.1
    "0100007F",
    "00000000000000000000000001000000",
    "0000000000000000FFFF00000100007F",
}


@pytest.fixture(scope="module")
def home(copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the small world."""
    found = tmp_path_factory.mktemp("running") / "home"
    return copied(found).home


@pytest.fixture(scope="module")
def leads(trained: Workspace) -> list[dict[str, Any]]:
    """Return the batch scores of the open leads."""
    rows: list[dict[str, Any]] = trained.tables.read("scores_lead_qualification").to_pylist()
    return rows


def test_every_socket_is_on_loopback(home: Path, tmp_path: Path) -> None:
    """Of both profiles, whoever of the processes holds it."""
    for profile in ("portable", "fast"):
        with running(home, tmp_path / "log", profile=profile) as service:
            sockets = _listening(service)
        assert len(sockets) >= 3
        outside = {place for place in sockets if place.split(":")[0] not in LOOPBACK}
        assert outside == set(), profile


def _listening(service: Running) -> dict[str, str]:
    """Return the listening sockets of all processes: address and port, and who holds it."""
    inodes = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == LISTENS:
                inodes[cells[9]] = cells[1]
    found = {}
    for number, said in service.processes().items():
        for handle in Path(f"/proc/{number}/fd").glob("*"):
            try:
                target = str(handle.readlink())
            except OSError:
                continue
            place = inodes.get(target.removeprefix("socket:[").removesuffix("]"))
            if place:
                found[place] = said
    return found


def test_killing_replicas_costs_no_decision_and_doubles_none(
    home: Path, leads: list[dict[str, Any]], tmp_path: Path
) -> None:
    """20 times under constant load, with the retries of the client that we ship."""
    environ = {"FUNNELCAST_SERVE__REPLICAS": "2"}
    with running(home, tmp_path / "log", environ=environ) as service:
        _until_replicas(service, 2)
        outcomes, killed = asyncio.run(_under_load(service, leads))
    failed = {key: each for key, each in outcomes.items() if isinstance(each, Exception)}
    assert killed == KILLS
    assert failed == {}
    with Workspace.open(Settings(home=home, buckets=4)) as workspace:
        made = [entry.id for entry in workspace.journal.entries("decision")]
        assert workspace.journal.verify()
    asked = {id_of_key(key) for key in outcomes}
    assert {each.id for each in outcomes.values() if isinstance(each, DecisionOut)} == asked
    assert Counter(id for id in made if id in asked) == Counter(asked)


async def _under_load(
    service: Running, leads: list[dict[str, Any]]
) -> tuple[dict[str, DecisionOut | Exception], int]:
    """Ask at a constant rate while replicas are killed, each when there are two again."""
    outcomes: dict[str, DecisionOut | Exception] = {}
    killing = asyncio.create_task(asyncio.to_thread(_kill, service))
    tasks, loop = [], asyncio.get_running_loop()
    began, run = loop.time(), uuid.uuid4().hex
    async with AsyncClient(
        service.url, timeout_s=60, deadline_ms=5_000, retries=Retries(most=40, reserve=10_000)
    ) as client:
        while not killing.done():
            number = len(tasks)
            lead = leads[number % len(leads)]["entity"]
            tasks.append(asyncio.create_task(_ask(client, lead, f"{run}-{number}", outcomes)))
            await asyncio.sleep(max(0.0, began + len(tasks) / RATE - loop.time()))
        await asyncio.gather(*tasks)
    return outcomes, await killing


async def _ask(
    client: AsyncClient, lead: str, key: str, outcomes: dict[str, DecisionOut | Exception]
) -> None:
    try:
        outcomes[key] = await client.decide(lead=lead, idempotency_key=key)
    except Exception as error:  # counted below
        outcomes[key] = error


def _kill(service: Running) -> int:
    rng = random.Random(0)
    for _ in range(KILLS):
        _until_replicas(service, 2)
        time.sleep(rng.uniform(0.2, 1.0))
        os.kill(rng.choice(service.replicas()), signal.SIGKILL)
    _until_replicas(service, 2)
    return KILLS


def _until_replicas(service: Running, count: int, within_s: float = 90.0) -> None:
    """Wait until so many replicas are there."""
    end = time.monotonic() + within_s
    while len(service.replicas()) < count:
        assert time.monotonic() < end, service.processes()
        time.sleep(0.1)
