"""Ray jobs as the README says: a head node, a submitted job, the result in the workspace."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.settings import ROOT

if TYPE_CHECKING:
    from cluster.workspace import Workspace

pytestmark = pytest.mark.drill


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ray(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cluster", "ray", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def head(trained: Workspace) -> Iterator[tuple[dict[str, str], str]]:
    """Start a head node of its own, and return the environment and address to submit with."""
    home = trained.settings.home
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environ |= {"FUNNELCAST_HOME": str(home), "FUNNELCAST_BUCKETS": "4"}
    port, dashboard = _free_port(), _free_port()
    folder = tempfile.mkdtemp(prefix="ray-")
    ports = ["--port", str(port), "--dashboard-port", str(dashboard), "--num-cpus", "2"]
    started = _ray(environ, "start", "--head", "--temp-dir", folder, *ports)
    assert started.returncode == 0, started.stderr
    yield environ, f"http://127.0.0.1:{dashboard}"
    _ray(environ, "stop", "--force")
    shutil.rmtree(folder, ignore_errors=True)


def test_a_submitted_training_publishes_a_model(
    head: tuple[dict[str, str], str], trained: Workspace
) -> None:
    """`ray job submit --working-dir . -- python -m jobs.train ...`, on ray runners."""
    environ, address = head
    before = trained.refs.get("models/lead_qualification/stable")
    train = ["python", "-m", "jobs.train", "--target", "lead_qualification", "--trials", "4"]
    submit = ["job", "submit", "--address", address, "--working-dir", "."]
    for _ in range(90):  # the head takes jobs some time after it has started
        done = _ray(environ, *submit, "--", *train, "--runner", "ray", "--seed", "99")
        if "No available agent" not in done.stderr:
            break
        time.sleep(1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runner: ray (asked for)" in done.stdout
    after = trained.refs.get("models/lead_qualification/stable")
    assert before is not None
    assert after is not None
    assert after.epoch == before.epoch + 1


def test_the_token_is_asked_for(head: tuple[dict[str, str], str], tmp_path: Path) -> None:
    """Without the workspace's token nobody may submit; the token file is its owner's alone."""
    environ, address = head
    stranger = {**environ, "FUNNELCAST_HOME": str(tmp_path)}
    refused = _ray(stranger, "job", "submit", "--address", address, "--", "python", "-c", "1")
    assert refused.returncode != 0
    token = Path(environ["FUNNELCAST_HOME"]) / "ray" / "token"
    assert token.stat().st_mode & 0o777 == 0o600
