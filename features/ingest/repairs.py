"""Repair: rows from quarantine, corrected by a person, enter the log once.

The cells go through the same mapping and contracts as the first time; what is wrong still is
refused again, what entered before is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from cluster import canonical, runner
from features import log, online
from features.contracts import register
from features.ingest import corrected
from features.ingest.finish import Course, finish
from features.ingest.gates import Gates
from features.ingest.origin import ORIGIN, Origin, put_mapping
from features.ingest.outcome import Ingested, Landed
from features.ingest.strip import Task, known, write_lots
from features.sources import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster.workspace import Workspace
    from features.ingest.corrected import Line
    from features.ingest.run import Source
    from features.sources.lot import Mapped

TABLE = "repairs"
SCHEMA = pa.schema(
    [
        pa.field("quarantine_id", pa.binary(16), nullable=False),
        pa.field("ingest", pa.string(), nullable=False),
        pa.field("repaired_at", log.MICROSECONDS, nullable=False),
    ]
)


def repair(workspace: Workspace, what: Source, path: Path) -> Ingested:
    """Take in the corrected rows of a repair file; see the module."""
    places = _by_place(corrected.read_file(path, what.mapping))
    gates = Gates.open(workspace)
    ids, landed, origins = known(workspace, *gates.pins), list[Landed](), list[str]()
    for (file, part), rows in places.items():
        task = _task(workspace, what, path, (file, part))
        mapped = _mapped(workspace, what, part, rows)
        written = write_lots(workspace, task, [mapped], ids)
        said = {ORIGIN: task.ingest}
        landed.append(gates.land(written, said, said))
        origins.append(task.ingest)
        _record(workspace, rows, task, written.refused_rows)
    online.follow(workspace)
    course = Course(
        source=what.mapping.source,
        terms=what.terms,
        origins=tuple(origins),
        strips=landed,
        choice=runner.Choice(runner="inline", reason="a repair"),
        now=workspace.clock(),
    )
    return finish(workspace, course)


def repaired_ids(workspace: Workspace) -> pa.ChunkedArray:
    """Return the ids of the quarantined rows that were repaired."""
    workspace.tables.create(TABLE, SCHEMA)
    return workspace.tables.read(TABLE, columns=["quarantine_id"])["quarantine_id"]


def _record(workspace: Workspace, rows: list[Line], task: Task, again: frozenset[int]) -> None:
    """Note which rows of quarantine are done with: those not refused again."""
    before = set(repaired_ids(workspace).to_pylist())
    done = [bytes.fromhex(row.quarantine_id) for row in rows if row.source_row not in again]
    plain = [
        {"quarantine_id": key, "ingest": task.ingest, "repaired_at": task.now}
        for key in dict.fromkeys(done)
        if key not in before
    ]
    if plain:
        workspace.tables.append(TABLE, pa.Table.from_pylist(plain, schema=SCHEMA))


def _mapped(workspace: Workspace, what: Source, part: int, rows: list[Line]) -> Mapped:
    names = sorted({*read.columns_of(what.mapping, part), *(n for row in rows for n in row.cells)})
    columns = {name: pa.array([row.cells.get(name) for row in rows], pa.string()) for name in names}
    columns["source_row"] = pa.array([row.source_row for row in rows], pa.int64())
    pseudonyms = workspace.vault.pseudonyms
    return read.repaired(what.mapping, part, pa.table(columns), what.folder, pseudonyms)


def _task(workspace: Workspace, what: Source, path: Path, place: tuple[str, int]) -> Task:
    contracts = register.put_in_force(workspace, what.terms, "ingest", what.mapping.source)
    file, part = place
    origin = Origin(
        source=what.mapping.source,
        file=f"{path.name}!{file}",
        content=canonical.sha256_hex(path.read_bytes()),
        mapping=put_mapping(workspace.blobs, what.mapping),
        contracts=contracts,
    )
    return Task(
        source=what.mapping.source,
        file=file,
        part=part,
        terms=what.terms,
        ingest=origin.put(workspace.blobs),
        now=workspace.clock(),
    )


def _by_place(lines: Iterator[Line]) -> dict[tuple[str, int], list[Line]]:
    places: dict[tuple[str, int], list[Line]] = {}
    for line in lines:
        places.setdefault((line.file, line.part), []).append(line)
    return places
