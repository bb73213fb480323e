"""The parts of a scoring: what is to do, what is done, and their one commit.

As in a materialization: a part on record is not done again, what was committed is not committed
twice, and what is missing is an error, never a smaller table.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cluster import session
from cluster.errors import FunnelcastError
from cluster.parts import Parts
from jobs.score import step
from serving import batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    from pyiceberg.manifest import DataFile

    from cluster.runner import Choice
    from cluster.workspace import Workspace
    from jobs.score.work import Place, Work

WORK = "funnelcast.work"  # property of a snapshot


class WorkLost(FunnelcastError):
    """Files of finished parts are gone, or their records."""


class Overtaken(FunnelcastError):
    """Others scored the same target meanwhile."""


def committed(workspace: Workspace, work: Work) -> int | None:
    """Return the newest snapshot of the scores if this work made it."""
    head = workspace.tables.head(work.table)
    said: Mapping[str, str] = workspace.tables.properties(work.table, head) if head else {}
    return head if said.get(WORK) == work.made else None


def todo(place: Place) -> list[int]:
    """Return the parts that are not on record with all their files, the largest first."""
    there = _held(place)
    missing = [number for number in range(len(place.files)) if number not in there]
    return sorted(missing, key=lambda number: -place.files[number].record_count)


def usual(place: Place, choice: Choice) -> dict[str, float]:
    """Return what is usual in each segment, from the probabilities of all rows."""
    every = list(range(len(place.files)))
    if place.work.segment is None or not every:
        return {}
    if choice.runner == "ray":
        levels = list(_pipeline(place).levels(place.workspace.settings, place.work, every))
    else:
        levels = list(_inline(step.level, place, every))
    segments = [name for level in levels for name in level["segment"].to_pylist()]
    return batch.usual(segments, np.concatenate([level["probability"] for level in levels]))


def done(place: Place, numbers: list[int], choice: Choice) -> Iterator[int]:
    """Do parts, and yield the rows of each as it is done."""
    if choice.runner == "ray" and numbers:
        yield from _pipeline(place).done(place.workspace.settings, place.work, numbers)
        return
    yield from _inline(step.take, place, numbers)


def commit(place: Place) -> int:
    """Commit all parts in the place of the scores before, as one snapshot. WorkLost where one is
    missing, RowsLost where rows are, Overtaken when there are newer scores.
    """
    work, tables, held = place.work, place.workspace.tables, _held(place)
    if lost := sorted(set(range(len(place.files))) - held.keys()):
        raise WorkLost(
            f"the files of every part must last until their commit, got none of {lost}: run the"
            " same command to go on"
        )
    new = [file for number in sorted(held) for file in held[number]]
    step.require_all(place.rows, sum(file.record_count for file in new))
    snapshot = tables.commit_after(
        work.table,
        new,
        head=work.last,
        replacing=tables.files(work.table, work.last),
        properties=work.properties(place.workspace) | {WORK: work.made},
    )
    if snapshot is None and (snapshot := committed(place.workspace, work)) is None:
        raise Overtaken(
            f"'{work.table}' must stay at snapshot {work.last} until the commit, got newer scores:"
            " run the same command again"
        )
    Parts(place.workspace.database).drop(work.name)
    return snapshot


def _held(place: Place) -> dict[int, list[DataFile]]:
    """Return the files of the parts on record; those that lost one are taken off the record."""
    work, workspace = place.work, place.workspace
    find = partial(workspace.tables.find, work.table)
    whole = Parts(workspace.database).whole(work.name, workspace.clock(), find)
    return {part.number: files for part, files in whole}


def _pipeline(place: Place) -> ModuleType:
    """Connect to Ray, and return what runs on it: imported when it is used."""
    session.connect(place.workspace.settings)
    from jobs.score import pipeline

    return pipeline


def _inline[T](do: Callable[[Place, int], T], place: Place, numbers: list[int]) -> Iterator[T]:
    with ThreadPoolExecutor(session.cores(place.workspace.settings)) as threads:
        futures = [threads.submit(do, place, number) for number in numbers]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            threads.shutdown(cancel_futures=True)
