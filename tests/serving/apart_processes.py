"""The processes of candidates that this process has started on Ray, to be stopped and killed."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cluster.listening import processes
from serving.releases import own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.releases.release import Release


def pids(release: Release) -> list[int]:
    """Return the replicas of a release's candidate, of this process alone."""
    known = {each.pid: each for each in processes.running()}
    begins = f"ray::ServeReplica:{own.name_of(release)}:"
    named = [pid for pid, each in known.items() if " ".join(each.words).startswith(begins)]
    return [pid for pid in named if os.getpid() in _above(pid, known)]


def _above(pid: int, known: dict[int, processes.Process]) -> Iterator[int]:
    while pid in known:
        pid = known[pid].parent
        yield pid


def kill(release: Release) -> None:
    """End them at once."""
    for pid in pids(release):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def stopped(release: Release) -> Iterator[list[int]]:
    """Let them do nothing until the end of the block."""
    found = pids(release)
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield found
    finally:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
