"""Starts what the serving bench measures, each in processes of its own, and waits until it answers.

HAProxy's ports and files are given too: another service on this machine may have the usual ones.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import yaml

from cluster.settings import CONFIGS, read_yaml
from tests.bench.load import ROOT
from tests.bench.serving_workspace import TARGET, Made

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

START_S, STOP_S = 180, 90
POLICY = "lead_routing"


@contextmanager
def bare(made: Made, folder: Path) -> Iterator[str]:
    """Run FastAPI on uvicorn with the same trees; gives the URL that scores."""
    port = free_port()
    command = ["-m", "tests.bench.serving_bare", str(made.trees), str(port)]
    with _running(command, {}, folder / "bare.log") as process:
        _wait(process, f"http://127.0.0.1:{port}/openapi.json", folder / "bare.log")
        yield f"http://127.0.0.1:{port}/score"


@contextmanager
def full(made: Made, folder: Path, profile: str) -> Iterator[str]:
    """Run the decision service under a profile of configs/serve; gives the URL that decides."""
    file, port = folder / f"{profile}.yaml", free_port()
    answers = {"lead": {"target": str(TARGET), "policy": POLICY}}
    given = read_yaml(CONFIGS / "serve" / f"{profile}.yaml") | {"answers": answers}
    file.write_text(yaml.safe_dump(given))
    environ = {
        "FUNNELCAST_HOME": str(made.home),
        "FUNNELCAST_SERVE__PORT": str(port),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
    }
    command = ["-m", "serving", "--profile", str(file)]
    with _running(command, environ, folder / "full.log") as process:
        _wait(process, f"http://127.0.0.1:{port}/readyz", folder / "full.log")
        yield f"http://127.0.0.1:{port}/v1/decisions"


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _running(
    command: list[str], environ: Mapping[str, str], told: Path
) -> Iterator[subprocess.Popen[bytes]]:
    given = {k: v for k, v in os.environ.items() if not k.startswith(("FUNNELCAST_", "RAY_"))}
    with told.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT, env=given | environ, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, told: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    said = told.read_text(errors="replace")[-1500:]
    raise SystemExit(f"{url} must answer within {START_S} s, got none; its last words: {said}")
