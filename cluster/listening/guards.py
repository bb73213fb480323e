"""What each socket is, and what guards it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.listening.processes import Process, Socket


class What(StrEnum):
    """What a socket is for."""

    API = "the API"
    BEHIND = "the API, behind its proxy"
    FIGURES = "figures to read"
    RAY = "Ray"
    LOCAL = "a socket of this machine"


class Guard(StrEnum):
    """What keeps others out."""

    KEY = "API key"
    TOKEN = "token of the cluster"
    LOOPBACK = "loopback alone"
    MODE = "file mode"
    NONE = "none"


BEHIND_PORTS = range(30_000, 31_001)  # Ray Serve's defaults: replicas, by HAProxy
FALLBACK_PORT = 8500  # its own proxy behind HAProxy


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a workspace."""

    port: int  # of the API
    asks: bool  # must who sends a request bring a key?
    has_token: bool  # do all processes of Ray ask for the cluster's token, in a closed file?
    figures: frozenset[str] = frozenset()  # places where anybody may read figures, and nothing else


@dataclass(frozen=True, kw_only=True)
class Found:
    """A socket, what it is, and its guard."""

    socket: Socket
    what: What
    guard: Guard

    @property
    def row(self) -> Mapping[str, str | int]:
        """The socket as plain values."""
        process = self.socket.process
        return {
            "process": process.name,
            "pid": process.pid,
            "what": self.what.value,
            "kind": self.socket.kind,
            "address": self.socket.place,
            "guard": self.guard.value,
        }


def found(socket: Socket, known: Known) -> Found:
    """Return what a socket is, and what guards it as far as can be seen from here.

    Ray must ask for the token also on loopback: who may call it runs code as its user.
    """
    what = what_is(socket, known)
    return Found(socket=socket, what=what, guard=_guard(socket, what, known))


def what_is(socket: Socket, known: Known) -> What:
    """Return what a socket is for, by its port, its process, and what it answers."""
    if socket.kind == "unix":
        return What.LOCAL
    if socket.port == known.port:
        return What.API
    if socket.port in BEHIND_PORTS or socket.port == FALLBACK_PORT:
        return What.BEHIND
    is_haproxy = socket.process.name == "haproxy"  # Prometheus and statistics
    return What.FIGURES if is_haproxy or socket.place in known.figures else What.RAY


def asks_for_token(processes: list[Process]) -> bool:
    """Do the processes of Ray, as they were started, ask for a token? False if none says so."""
    modes = {p.environ["RAY_AUTH_MODE"] for p in processes if "RAY_AUTH_MODE" in p.environ}
    return modes == {"token"}


def _guard(socket: Socket, what: What, known: Known) -> Guard:
    if what is What.LOCAL:
        return Guard.NONE if socket.others_may else Guard.MODE
    if what is What.RAY:
        return Guard.TOKEN if known.has_token else Guard.NONE
    if what in (What.API, What.BEHIND) and known.asks:
        return Guard.KEY
    return Guard.LOOPBACK if socket.on_loopback else Guard.NONE
