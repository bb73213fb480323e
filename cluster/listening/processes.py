"""The processes of a workspace, and the sockets they listen on, as /proc of Linux tells them.

A process belongs to a workspace if its environment names it, or one that does is its ancestor: some
of Ray's overwrite their environment with their title. Their driver is found as Ray's parent.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import WrongUse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PROC = Path("/proc")
LISTENS = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}  # state of such a socket
ACCEPTS = 0x10000  # flag of a unix socket that listens
RAYS = ("raylet", "gcs_server")  # executables whose parent is the driver, if it started them


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process."""

    pid: int
    parent: int
    words: tuple[str, ...]  # of its command line
    environ: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """What it calls itself: of an interpreter the module or file that it runs."""
        first = Path(self.words[0]).name if self.words else ""
        if not first.startswith("python"):
            return first.strip()
        if "-c" in self.words:
            return f"{first} -c"
        rest = [word for word in self.words[1:] if word and not word.startswith("-")]
        return Path(rest[0]).name if rest else first


@dataclass(frozen=True, kw_only=True)
class Socket:
    """A socket that a process listens on."""

    process: Process
    kind: str  # tcp, udp or unix
    address: str  # or the path of a unix socket
    port: int | None = None
    others_may: bool = False  # of a unix socket: may another user of this machine open it?

    @property
    def on_loopback(self) -> bool:
        """Can no other machine reach it?"""
        return self.kind == "unix" or _plain(self.address).is_loopback

    @property
    def place(self) -> str:
        """Where it listens, in words."""
        if self.port is None:
            return self.address
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.port}"


def of_workspace(home: Path, everyone: Iterable[Process] | None = None) -> list[Process]:
    """Return the processes of the workspace in a folder, by number, but for the one that asks."""
    known = {p.pid: p for p in (running() if everyone is None else everyone)}
    marks = {("FUNNELCAST_HOME", str(home)), ("RAY_AUTH_TOKEN_PATH", str(home / "ray" / "token"))}
    found = {pid for pid, each in known.items() if marks & set(each.environ.items())}
    found |= {known[pid].parent for pid in found if known[pid].name in RAYS} - {0, 1}
    while more := {pid for pid, each in known.items() if each.parent in found} - found:
        found |= more
    return [known[pid] for pid in sorted(found & set(known) - {os.getpid()})]


def running() -> Iterator[Process]:
    """Yield the processes of this machine that may be looked at; WrongUse without /proc."""
    if not (PROC / "self" / "environ").is_file():
        raise WrongUse(f"sockets are read from '{PROC}', got none here: ask on a Linux machine")
    for folder in PROC.glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            environ = (folder / "environ").read_bytes().decode(errors="replace")
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it ended, or is another user's
            continue
        pairs = (pair.partition("=") for pair in environ.split("\0"))
        parent = status.partition("PPid:")[2].split(None, 1)[0]
        yield Process(
            pid=int(folder.name),
            parent=int(parent),
            words=tuple(words.rstrip("\0").split("\0")),
            environ={name: value for name, _, value in pairs},
        )


def sockets(processes: Iterable[Process]) -> list[Socket]:
    """Return what they listen on, each socket once for each that holds it."""
    places = {**_addresses(), **_paths()}
    found = []
    for process in processes:
        for inode in sorted(_inodes(process.pid) & set(places)):
            kind, address, port = places[inode]
            found.append(
                Socket(
                    process=process,
                    kind=kind,
                    address=address,
                    port=port,
                    others_may=kind == "unix" and _others_may(Path(address)),
                )
            )
    return found


def _inodes(pid: int) -> set[str]:
    found = set()
    try:
        for handle in (PROC / str(pid) / "fd").iterdir():
            try:
                target = str(handle.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def _addresses() -> dict[str, tuple[str, str, int | None]]:
    found: dict[str, tuple[str, str, int | None]] = {}
    for table, state in LISTENS.items():
        file = PROC / "net" / table
        lines = file.read_text().splitlines()[1:] if file.is_file() else []
        for cells in (line.split() for line in lines):
            if cells[3] == state:
                address, _, port = cells[1].partition(":")
                found[cells[9]] = (table.rstrip("6"), _address(address), int(port, 16))
    return found


def _paths() -> dict[str, tuple[str, str, int | None]]:
    lines = (PROC / "net" / "unix").read_text().splitlines()[1:]
    rows = (line.split(None, 7) for line in lines)
    return {row[6]: ("unix", row[7], None) for row in rows if len(row) > 7 and _accepts(row[3])}


def _accepts(flags: str) -> bool:
    return bool(int(flags, 16) & ACCEPTS)


def _address(spelt: str) -> str:
    """Return an address as people write it; /proc has words of four bytes, lowest first.

    >>> _address("0100007F")
    '127.0.0.1'
    """
    data = bytes.fromhex(spelt)
    words = (data[start : start + 4][::-1] for start in range(0, len(data), 4))
    return str(_plain(str(ipaddress.ip_address(b"".join(words)))))


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(address)
    return getattr(found, "ipv4_mapped", None) or found


def _others_may(path: Path) -> bool:
    """May another user open a unix socket: write to it, and enter every folder above?

    An abstract one has no mode: everybody may.
    """
    if not path.is_absolute():
        return True
    try:
        mode = path.stat().st_mode
        entered = all(up.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for up in path.parents)
    except OSError:
        return False
    return entered and bool(mode & (stat.S_IWGRP | stat.S_IWOTH))
