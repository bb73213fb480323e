"""Ingest events that are in memory already, for callers that made them themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluster import runner
from features import online
from features.contracts import register
from features.ingest.finish import Course, finish
from features.ingest.gates import Gates
from features.ingest.origin import ORIGIN, Origin
from features.ingest.strip import Task, known, write_lots
from features.sources.lot import PEOPLE, Mapped, as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from cluster.workspace import Workspace
    from features.contracts import Contract
    from features.ingest.outcome import Ingested

FILE = "memory"


def ingest(workspace: Workspace, terms: Mapping[str, Contract], candidates: pa.Table) -> Ingested:
    """Check, identify and add candidates (CANDIDATE columns); every row ends in the log or in
    quarantine.
    """
    gates = Gates.open(workspace)
    task = _task(workspace, terms)
    written = write_lots(workspace, task, [mapped(candidates)], known(workspace, *gates.pins))
    said = {ORIGIN: task.ingest}
    strip = gates.land(written, said, said)
    online.follow(workspace)
    course = Course(
        source=FILE,
        terms=terms,
        origins=(task.ingest,),
        strips=[strip],
        choice=runner.Choice(runner="inline", reason="in memory"),
        now=task.now,
    )
    return finish(workspace, course)


def mapped(candidates: pa.Table) -> Mapped:
    """Return candidates as a lot that is its own source."""
    return Mapped(
        events=candidates,
        origin=np.arange(candidates.num_rows),
        raw=as_text(candidates),
        broken=[],
        unreadable=[],
        people=PEOPLE.empty_table(),
    )


def _task(workspace: Workspace, terms: Mapping[str, Contract]) -> Task:
    contracts = register.put_in_force(workspace, terms, "ingest", FILE)
    origin = Origin(source=FILE, file=FILE, content="", mapping="", contracts=contracts)
    return Task(
        source=FILE,
        file=FILE,
        part=0,
        terms=terms,
        ingest=origin.put(workspace.blobs),
        now=workspace.clock(),
    )
