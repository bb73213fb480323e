"""Ingest events that are in memory already, for callers that made them themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluster import runner
from features import log, online
from features.contracts import register
from features.ingest import quarantine
from features.ingest.finish import Course, finish
from features.ingest.land import Landing
from features.ingest.origin import ORIGIN, Origin
from features.ingest.outcome import Ingested, Landed
from features.ingest.strip import Task, known, write_lots
from features.sources.lot import PEOPLE, Mapped, as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from cluster.workspace import Workspace
    from features.contracts import Contract

FILE = "memory"


def ingest(workspace: Workspace, terms: Mapping[str, Contract], candidates: pa.Table) -> Ingested:
    """Check, identify and add candidates (CANDIDATE columns); every row ends in the log or in
    quarantine.
    """
    tables = workspace.tables
    log.create(tables, workspace.settings.buckets)
    quarantine.create(tables)
    pins = tables.head(log.TABLE), tables.head(quarantine.TABLE)
    task = _task(workspace, terms)
    written = write_lots(workspace, task, [mapped(candidates)], known(workspace, *pins))
    said = {ORIGIN: task.ingest}
    Landing(tables, quarantine.TABLE, pins[1]).land(written.refused, said)
    landing = Landing(tables, log.TABLE, pins[0])
    snapshot, doubled = landing.land(written.events, said, versions=written.versions)
    strip = Landed(written=written, doubled=doubled, snapshot=snapshot)
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
