"""What listens for a workspace, and what guards it; and that what has no guard is told."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cluster import __main__ as command
from cluster.listening import check, guards, processes
from cluster.listening.guards import Guard, Known, What
from cluster.listening.processes import Process, Socket
from cluster.settings import ServeSettings, Settings

CHILD = """
import os, socket, sys, tempfile
kept = []
for kind, host in ((socket.SOCK_STREAM, "127.0.0.1"), (socket.SOCK_STREAM, "127.0.0.2"),
                   (socket.SOCK_DGRAM, "127.0.0.1")):
    kept.append(socket.socket(socket.AF_INET, kind))
    kept[-1].bind((host, 0))
    if kind == socket.SOCK_STREAM:
        kept[-1].listen()
kept.append(socket.socket(socket.AF_INET6))
kept[-1].bind(("::1", 0))
kept[-1].listen()
for mode in (0o600, 0o666):
    kept.append(socket.socket(socket.AF_UNIX))
    path = os.path.join(sys.argv[1], f"{mode:o}")
    kept[-1].bind(path)
    os.chmod(path, mode)
    kept[-1].listen()
print(*(s.getsockname()[1] for s in kept[:4]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter: that of a test is not."""
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def child(settings: Settings, folder: Path) -> Iterator[list[int]]:
    """A process of the workspace that listens in every way; yields its ports."""
    environ = {**os.environ, "FUNNELCAST_HOME": str(settings.home)}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], env=environ, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]
        assert process.stdin is not None
        process.stdin.close()


def test_every_socket_of_a_process_is_found(
    settings: Settings, child: list[int], folder: Path
) -> None:
    """TCP, UDP, IPv6 and unix, with who may open these."""
    found = processes.sockets(processes.of_workspace(settings.home))
    first, second, datagram, sixth = child
    assert {(each.kind, each.place, each.others_may) for each in found} == {
        ("tcp", f"127.0.0.1:{first}", False),
        ("tcp", f"127.0.0.2:{second}", False),
        ("udp", f"127.0.0.1:{datagram}", False),
        ("tcp", f"[::1]:{sixth}", False),
        ("unix", str(folder / "600"), False),
        ("unix", str(folder / "666"), True),
    }
    assert all(each.on_loopback for each in found)
    folder.chmod(0o700)
    again = processes.sockets(processes.of_workspace(settings.home))
    assert not any(each.others_may for each in again)


def test_the_command_shows_it_and_fails_without_a_guard(
    settings: Settings,
    child: list[int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The child is taken for one of Ray's, of which none says that it asks for the token."""
    monkeypatch.setattr(check, "ASK_S", 0.1)  # it never answers
    assert check.main(settings, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["without guard"] == 5
    assert {row["guard"] for row in told["sockets"]} == {"none", "file mode"}
    assert check.main(settings, as_json=False) == 1
    shown = capsys.readouterr()
    assert f"127.0.0.1:{child[0]}" in shown.out
    assert shown.err.count("must be guarded, got nothing") == 5


def test_a_workspace_without_processes_has_no_socket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command line too."""
    with pytest.raises(SystemExit) as ended:
        command.main(["sockets", "--json"], {"FUNNELCAST_HOME": str(tmp_path / "none")})
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == {"sockets": [], "without guard": 0}
    with pytest.raises(SystemExit, match="usage"):
        command.main(["sockets", "--jsn"], {})


def _process(pid: int = 2, parent: int = 1, name: str = "x", **environ: str) -> Process:
    return Process(pid=pid, parent=parent, words=(name,), environ=environ)


def test_who_overwrote_its_environment_is_found_by_its_parents(tmp_path: Path) -> None:
    """As Ray's agents do; the driver is found as the parent of Ray, and no stranger is."""
    ours = {"FUNNELCAST_HOME": str(tmp_path)}
    told = [
        _process(1, 0, "init"),
        _process(10, 1, "sh"),
        _process(11, 10, "driver"),
        _process(12, 11, "/x/raylet", **ours),
        _process(13, 12, "ray::DashboardAgent"),
        _process(14, 13, "below"),
        _process(20, 10, "stranger", FUNNELCAST_HOME="/another"),
        _process(21, 1, "gcs_server", RAY_AUTH_TOKEN_PATH=str(tmp_path / "ray" / "token")),
    ]
    assert [each.pid for each in processes.of_workspace(tmp_path, told)] == [11, 12, 13, 14, 21]


OPEN = Known(port=8000, asks=False, has_token=True, figures=frozenset({"127.0.0.1:9"}))
SHUT = Known(port=8000, asks=True, has_token=False)


@pytest.mark.parametrize(
    ("name", "address", "port", "known", "what", "guard"),
    [
        ("haproxy", "127.0.0.1", 8000, OPEN, What.API, Guard.LOOPBACK),
        ("haproxy", "0.0.0.0", 8000, OPEN, What.API, Guard.NONE),
        ("haproxy", "0.0.0.0", 8000, SHUT, What.API, Guard.KEY),
        ("haproxy", "127.0.0.1", 8404, SHUT, What.FIGURES, Guard.LOOPBACK),
        ("haproxy", "0.0.0.0", 8404, SHUT, What.FIGURES, Guard.NONE),
        ("ray::ServeReplica", "127.0.0.1", 30000, OPEN, What.BEHIND, Guard.LOOPBACK),
        ("ray::ServeReplica", "0.0.0.0", 30000, OPEN, What.BEHIND, Guard.NONE),
        ("ray::ServeReplica", "127.0.0.1", 8500, SHUT, What.BEHIND, Guard.KEY),
        ("gcs_server", "0.0.0.0", 6379, OPEN, What.RAY, Guard.TOKEN),
        ("gcs_server", "127.0.0.1", 6379, SHUT, What.RAY, Guard.NONE),
        ("monitor.py", "127.0.0.1", 9, OPEN, What.FIGURES, Guard.LOOPBACK),
    ],
)
def test_what_guards_what(
    name: str, address: str, port: int, *, known: Known, what: What, guard: Guard
) -> None:
    """By what it is: the API by keys, Ray by its token wherever it listens, the rest by where."""
    listens = Socket(process=_process(name=name), kind="tcp", address=address, port=port)
    found = guards.found(listens, known)
    assert (found.what, found.guard) == (what, guard)


@pytest.mark.parametrize(
    ("modes", "asked"),
    [
        (["token", "token"], True),
        (["token", "disabled"], False),
        (["disabled"], False),
        ([], False),
    ],
)
def test_a_token_counts_where_every_process_asks_for_it(modes: list[str], asked: bool) -> None:
    """One that does not is a way in."""
    there = [_process(), *(_process(RAY_AUTH_MODE=mode) for mode in modes)]
    assert guards.asks_for_token(there) == asked


def test_a_token_that_others_can_read_guards_nothing(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("x")
    file.chmod(0o600)
    there = [_process(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(file))]
    assert check._has_token(tmp_path, there)
    file.chmod(0o640)
    assert not check._has_token(tmp_path, there)


def test_where_the_api_listens_is_what_its_process_was_told(settings: Settings) -> None:
    """In the environment or on the command line, whatever the settings of who asks say."""
    serve = ServeSettings()
    words = ("python", "-m", "serving", "--port", "9000", "--host", "0.0.0.0")
    assert serve.model_copy(update=check._told(words)).asks
    assert check._told(words)["port"] == 9000
    assert check._told(("python", "-m", "http.server", "--port", "9")) == {}
    said = {"FUNNELCAST_SERVE__PORT": "9001", "FUNNELCAST_SERVE__REQUIRE_KEYS": "1"}
    assert check._said(said) == {"port": 9001, "require_keys": True}


def test_what_shows_figures_is_asked() -> None:
    """Other answers, and none, are no figures."""

    class Figures(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 401)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Refuses(Figures):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()

    for kind, shows in ((Figures, True), (Refuses, False)):
        with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            port = server.server_address[1]
            there = Socket(process=_process(), kind="tcp", address="127.0.0.1", port=port)
            assert check._gives_figures(there) == shows
            server.shutdown()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert not check._gives_figures(
        Socket(process=_process(), kind="tcp", address="127.0.0.1", port=port)
    )
