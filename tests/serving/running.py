"""A decision service in processes of its own, as `python -m serving` starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.settings import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START_S, STOP_S = 180, 90
PORTS = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT")


@dataclass(frozen=True, kw_only=True)
class Running:
    """A service that answers."""

    url: str
    home: Path

    def processes(self) -> dict[int, str]:
        """Return the processes that were started for it: number, and what they call themselves."""
        mark = f"FUNNELCAST_HOME={self.home}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    said = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = said.strip()
            except OSError:  # it ended, or is another user's
                continue
        return found

    def replicas(self) -> list[int]:
        """Return the processes that answer."""
        return [n for n, said in self.processes().items() if said.startswith("ray::ServeReplica")]


@contextmanager
def running(
    home: Path,
    told: Path,
    *,
    profile: str = "fast",
    environ: Mapping[str, str] | None = None,
    ready: str = "/readyz",
) -> Iterator[Running]:
    """Start a service over a workspace; `told` gets its words, and `ready` answers when it is."""
    port = free_port()
    given = {"FUNNELCAST_HOME": str(home), "FUNNELCAST_SERVE__PORT": str(port)}
    given |= {name: str(free_port()) for name in PORTS} | dict(environ or {})
    found = Running(url=f"http://127.0.0.1:{port}", home=home)
    try:
        with started(["-m", "serving", "--profile", profile], given, told) as process:
            wait(process, f"{found.url}{ready}", told)
            yield found
    finally:
        for number in found.processes():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


@contextmanager
def started(
    command: list[str], environ: Mapping[str, str], told: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of this project, free of our own settings, until the end of the block."""
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


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait(process: subprocess.Popen[bytes], url: str, told: Path) -> None:
    """Wait until a URL answers 200; RuntimeError with the last words of a process that does not."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    said = told.read_text(errors="replace")[-1500:]
    raise RuntimeError(f"{url} must answer within {START_S} s, got none; its last words: {said}")
