"""`python -m cluster sockets`: what listens for a workspace, and what guards it.

Exit code 1 if anything has no guard, 2 for wrong use.
"""

from __future__ import annotations

import json
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.listening import guards, processes
from cluster.listening.guards import Guard, Known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.listening.guards import Found
    from cluster.listening.processes import Process, Socket
    from cluster.settings import Settings

ASK_S, ASKED_AT_ONCE = 2.0, 16  # for an answer of a socket
COLUMNS = ("process", "pid", "what", "kind", "address", "guard")


def listening(settings: Settings) -> list[Found]:
    """Return every socket of the processes of a workspace, with its guard."""
    there = processes.of_workspace(settings.home)
    serve, sockets = settings.serve, processes.sockets(there)
    for each in there:  # what the service was started with says more than our own settings
        serve = serve.model_copy(update=_said(each.environ) | _told(each.words))
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        shows = list(pool.map(_gives_figures, sockets))
    known = Known(
        port=serve.port,
        asks=serve.asks,
        has_token=_has_token(settings.home, there),
        figures=frozenset(each.place for each, yes in zip(sockets, shows, strict=True) if yes),
    )
    return [guards.found(socket, known) for socket in sockets]


def main(settings: Settings, *, as_json: bool) -> int:
    """Show what listens; return the exit code."""
    found = listening(settings)
    bare = [each for each in found if each.guard is Guard.NONE]
    rows = [each.row for each in found]
    if as_json:
        sys.stdout.write(json.dumps({"sockets": rows, "without guard": len(bare)}) + "\n")
    else:
        sys.stdout.write(_table(rows))
        sys.stdout.write(f"{len(rows)} sockets, {len(bare)} without a guard\n")
    for each in bare:
        sys.stderr.write(
            f"error: {each.socket.place} of {each.socket.process.name} must be guarded, got"
            " nothing: bind it to loopback, ask for keys, or let Ray ask for its token\n"
        )
    return 1 if bare else 0


def _said(environ: Mapping[str, str]) -> dict[str, object]:
    """Return what the environment of a process says of where the API listens, and whom it asks."""
    found: dict[str, object] = {}
    if (port := environ.get("FUNNELCAST_SERVE__PORT", "")).isdecimal():
        found["port"] = int(port)
    if host := environ.get("FUNNELCAST_SERVE__HOST"):
        found["host"] = host
    if keys := environ.get("FUNNELCAST_SERVE__REQUIRE_KEYS"):
        found["require_keys"] = keys.lower() in {"1", "true", "yes", "on"}
    return found


def _told(words: Sequence[str]) -> dict[str, object]:
    """Return what the command line of `python -m serving` says of the same."""
    if "serving" not in words:
        return {}
    after = dict(pairwise(words))
    found: dict[str, object] = {}
    if after.get("--port", "").isdecimal():
        found["port"] = int(after["--port"])
    return found | ({"host": after["--host"]} if "--host" in after else {})


def _gives_figures(socket: Socket) -> bool:
    """Does it show figures to who says nothing of himself, as ports for Prometheus do?"""
    if socket.port is None or socket.kind != "tcp":
        return False
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(socket.address, socket.address)
    line = HTTPConnection(here, socket.port, timeout=ASK_S)
    try:
        line.request("GET", "/metrics")
        return line.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        line.close()


def _has_token(home: Path, there: list[Process]) -> bool:
    """Is a token asked for, and none of its files open to others?"""
    named = {p.environ["RAY_AUTH_TOKEN_PATH"] for p in there if "RAY_AUTH_TOKEN_PATH" in p.environ}
    files = [Path(name) for name in named] or [home / "ray" / "token"]
    return guards.asks_for_token(there) and all(_is_closed(file) for file in files)


def _is_closed(file: Path) -> bool:
    try:
        return not file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    except OSError:
        return True  # a token that was given as text has no file


def _table(rows: Sequence[Mapping[str, str | int]]) -> str:
    cells = [COLUMNS, *(tuple(str(row[name]) for name in COLUMNS) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "".join(f"{line.rstrip()}\n" for line in lines)
