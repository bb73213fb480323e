"""One strip of a source: read, checked, made known, written. Runs in a thread or on a Ray worker.

What it writes is invisible until `land` commits it, so a strip that dies leaves nothing behind but
files that nobody sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import fingerprint, log
from features.contracts import quality
from features.ingest import committed, quarantine
from features.ingest.prepare import Prepared, prepare
from features.ingest.remembered import Remembered
from features.known import KnownIds, fresh
from features.sources import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from pyiceberg.manifest import DataFile

    from cluster.workspace import Workspace
    from features.contracts import Contract
    from features.contracts.quality import Tally
    from features.sources.lot import Mapped, Pseudonyms, Strip
    from features.sources.mapping import SourceMapping


@dataclass(frozen=True, kw_only=True)
class Task:
    """Under which terms and which name rows are taken in; plain values, so that it can travel."""

    source: str
    file: str
    part: int  # of the source's mapping
    terms: Mapping[str, Contract]
    ingest: str  # name of the file's origin
    now: datetime


@dataclass(frozen=True, kw_only=True)
class StripTask(Task):
    """A strip of a mapped source."""

    mapping: SourceMapping
    folder: Path
    strip: Strip


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of rows: read = added + known + quarantined."""

    read: int = 0
    added: int = 0
    known: int = 0  # in the log already, or earlier in this ingestion
    quarantined: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return the sum."""
        return Counts(
            read=self.read + other.read,
            added=self.added + other.added,
            known=self.known + other.known,
            quarantined=self.quarantined + other.quarantined,
        )


@dataclass(frozen=True, kw_only=True)
class Written:
    """A strip's files, not yet committed, and what is to be said of them."""

    events: list[DataFile]
    refused: list[DataFile]
    versions: np.ndarray  # (n,) uint64, fingerprints of rows that have several versions
    counts: Counts
    tally: Tally
    reasons: pa.Table  # reason, rows
    refused_rows: frozenset[int]  # numbers of source rows that did not pass
    node: str = ""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the tables hold already. Shared by the threads of one process."""

    events: KnownIds = field(default_factory=KnownIds)
    refused: KnownIds = field(default_factory=KnownIds)
    people: KnownIds = field(default_factory=KnownIds)
    pseudonyms: Pseudonyms
    erased: pa.Array  # persons of whom nothing may come back


def known(
    workspace: Workspace, events: int | None, refused: int | None, expected: int = 0
) -> Known:
    """Return what snapshots of the log and of quarantine hold; `expected` events are to come."""
    tables = workspace.tables
    return Known(
        events=KnownIds(expected, committed.ids(tables, log.TABLE, events)),
        refused=KnownIds(0, committed.ids(tables, quarantine.TABLE, refused)),
        pseudonyms=Remembered(workspace.vault),
        erased=pa.array(workspace.vault.destroyed(), pa.string()),
    )


def write(workspace: Workspace, task: StripTask, known: Known) -> Written:
    """Read a strip to its end and write what is new of it."""
    lots = read.lots(task.mapping, task.strip, task.folder, known.pseudonyms)
    return write_lots(workspace, task, lots, known)


def write_lots(workspace: Workspace, task: Task, lots: Iterable[Mapped], known: Known) -> Written:
    """Check lots and write what is new of them."""
    events = workspace.tables.writer(log.TABLE)
    refused = workspace.tables.writer(quarantine.TABLE)
    total, salt = Total(), quarantine.salt(workspace.vault)
    for mapped in lots:
        prepared = prepare(task.terms, mapped, task.ingest, task.now, salt)
        _keep_people(workspace, mapped.people, known.people, task.now)
        new, versions = fresh(_living(prepared.good, known.erased), known.events)
        events.add(new)
        refused.add(_sealed(workspace, task, prepared.refused, known.refused))
        total = total.with_lot(task.terms, prepared, new.num_rows, versions)
    return Written(
        events=events.close(),
        refused=refused.close(),
        versions=np.unique(np.concatenate([np.empty(0, np.uint64), *total.versions])),
        counts=total.counts,
        tally=total.tally,
        reasons=total.reasons,
        refused_rows=total.refused_rows,
    )


def _living(events: pa.Table, erased: pa.Array) -> pa.Table:
    """Return the events that name nobody who was erased; the others count as known."""
    if not len(erased):
        return events
    return events.filter(pc.invert(pc.is_in(events["person"], value_set=erased)))


@dataclass(frozen=True, kw_only=True)
class Total:
    """What is counted over the lots of a strip."""

    counts: Counts = Counts()
    tally: Tally = quality.NOTHING
    versions: tuple[np.ndarray, ...] = ()
    refused_rows: frozenset[int] = frozenset()
    reasons: pa.Table = field(default_factory=lambda: joined([]))

    def with_lot(
        self, terms: Mapping[str, Contract], lot: Prepared, added: int, versions: np.ndarray
    ) -> Total:
        """Return the total with one more lot."""
        counts = Counts(
            read=lot.read,
            added=added,
            known=lot.good.num_rows - added,
            quarantined=lot.refused.num_rows,
        )
        return replace(
            self,
            counts=self.counts + counts,
            tally=self.tally + quality.tally(terms, lot.checked),
            versions=(*self.versions, versions) if len(versions) else self.versions,
            reasons=joined([self.reasons, counted(lot.refused["reasons"])]),
            refused_rows=self.refused_rows.union(lot.refused["source_row"].to_pylist()),
        )


def counted(reasons: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Count the first broken rule of each row: columns reason, rows."""
    first = pc.replace_substring_regex(reasons, r":(\s.*)?$", "")
    counts = pc.value_counts(first)
    return pa.table({"reason": counts.field("values"), "rows": counts.field("counts")})


def joined(counts: list[pa.Table]) -> pa.Table:
    """Add up counts of reasons, most frequent first."""
    none = pa.table({"reason": pa.array([], pa.string()), "rows": pa.array([], pa.int64())})
    summed = pa.concat_tables([none, *counts]).group_by("reason").aggregate([("rows", "sum")])
    table = summed.rename_columns({"rows_sum": "rows"}).select(["reason", "rows"])
    return table.sort_by([("rows", "descending"), ("reason", "ascending")])


def _sealed(workspace: Workspace, task: Task, refused: pa.Table, known: KnownIds) -> pa.Table:
    is_new, _ = known.add(*log.halves(refused["quarantine_id"]))
    origin: dict[str, str | int] = {
        "ingest": task.ingest,
        "source": task.source,
        "file": task.file,
        "part": task.part,
    }
    new = refused.filter(pa.array(is_new))
    return quarantine.sealed(workspace.vault, new, origin, task.now)


def _keep_people(workspace: Workspace, people: pa.Table, known: KnownIds, now: datetime) -> None:
    if not people.num_rows:
        return
    subject = fingerprint.of_cells(people["subject"])
    is_new, _ = known.add(subject, fingerprint.of_rows([people["field"], people["value"]]))
    workspace.vault.keep(people.filter(pa.array(is_new)), now)
