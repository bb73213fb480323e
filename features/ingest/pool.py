"""Strips on Ray: one actor per core, each with a workspace and the known ids of its own.

Actors do not see one another's ids, so the same row in two strips is found when they land. An actor
that dies starts anew and reads the known ids again; a strip that fails is never tried twice by the
same actor, which would take its own first try for known rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ray

from cluster import memory
from cluster.workspace import Workspace
from features.ingest.strip import StripTask, Written, known, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.settings import Settings

RESTARTS = 3  # of an actor or a strip whose machine is lost


def written(
    settings: Settings, pins: tuple[int | None, int | None], tasks: list[StripTask]
) -> Iterator[tuple[StripTask, Written]]:
    """Write all strips on the cluster; yields each with its files as it is done."""
    count = min(len(tasks), max(1, _cores()))
    idle = [StripWriter.remote(settings, pins) for _ in range(count)]  # type: ignore[attr-defined]
    waiting, running = list(tasks), dict[Any, tuple[Any, StripTask]]()
    while waiting or running:
        while waiting and idle:
            writer, task = idle.pop(), waiting.pop(0)
            running[writer.write.remote(task)] = (writer, task)
        done, _ = ray.wait(list(running), num_returns=1)
        writer, task = running.pop(done[0])
        idle.append(writer)
        yield task, ray.get(done[0])


def _cores() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 1))


@ray.remote(num_cpus=1, max_restarts=RESTARTS, max_task_retries=RESTARTS)
class StripWriter:
    """Writes strips on one core."""

    def __init__(self, settings: Settings, pins: tuple[int | None, int | None]) -> None:
        memory.settle()
        self._workspace = Workspace.open(settings)
        self._known = known(self._workspace, *pins)

    def write(self, task: StripTask) -> Written:
        """Write a strip and say where that was."""
        done = write(self._workspace, task, self._known)
        return replace(done, node=ray.get_runtime_context().get_node_id())
