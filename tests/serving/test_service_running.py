"""The service in processes of its own: what it listens on, and what its death costs."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster.workspace import Workspace
from serving.client import AsyncClient, Retries
from tests.serving.running import Running, running

if TYPE_CHECKING:
    from collections.abc import Awaitable

pytestmark = pytest.mark.drill
KILLS, RATE = 20, 60  # requests a second
LISTENS = "0A"  # state of a socket in /proc/net/tcp
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}  # as /proc spells 127.0.0.1 and ::1


@pytest.fixture(scope="module")
def home(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the small world."""
    found = tmp_path_factory.mktemp("running") / "home"
    shutil.copytree(trained.settings.home, found)
    return found


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
        asyncio.run(_all_ready(service))
        load = asyncio.run(_under_load(service, leads, tmp_path / "log"))
    failed = [outcome for outcome in load.values() if not isinstance(outcome, str)]
    assert len(load) >= KILLS * RATE
    assert failed == [], Counter(type(each).__name__ for each in failed)
    with Workspace.open(_settings(home)) as workspace:
        kept = Counter(entry.body["request_key"] for entry in [] if entry)
        ids = [entry.id for entry in workspace.journal.entries("decision")]
    assert kept == Counter()
    assert len(ids) == len(set(ids))
    assert {id for id in load.values() if isinstance(id, str)} <= set(ids)
    assert len(set(load.values())) == len(load)
