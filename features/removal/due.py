"""What is due: rows that are older than their class is kept, but for those that are held."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from cluster import schema
from features import log
from features.ingest import quarantine
from features.removal.holds import among

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.workspace import Workspace
    from features.removal.holds import Holds
    from features.removal.terms import Days

COLUMNS = ("event_id", "kind", "event_time", "known_at", "person", "account", "lead")


@dataclass(frozen=True, kw_only=True)
class Due:
    """One class of data at one moment."""

    name: str
    days: int
    before: datetime  # what is older is due
    ids: tuple[object, ...]  # of what is due: bytes of rows, snapshots, subjects, or run keys
    held: int  # as old, but kept by a hold

    @property
    def line(self) -> str:
        """In words."""
        kept = f", {self.held:,} older ones are held" if self.held else ""
        return f"{self.name}: {len(self.ids):,} from before {self.before:%Y-%m-%d}{kept}"


def events(
    workspace: Workspace, days: Mapping[str, Days], holds: Holds, now: datetime
) -> list[Due]:
    """Return the events that are due, by kind. A row is as old as its newest version, and all its
    versions go together.
    """
    head = workspace.tables.head(log.TABLE)
    if head is None:
        return []
    rows = workspace.tables.read(log.TABLE, head, COLUMNS).select(COLUMNS)
    held, row = holds.of_rows(rows), log.halves(rows["event_id"])[0]
    held |= np.isin(row, row[held])
    newest = pc.not_equal(rows["kind"], log.RETRACTION).to_numpy()
    newest &= _is_newest(rows.filter(pa.array(newest)), newest)
    times = log.microseconds(rows["event_time"])
    return [
        _of_kind(
            kind, kept, now, _Rows(rows["event_id"], row, times, newest & _is(rows, kind), held)
        )
        for kind, kept in sorted(days.items())
        if kept is not None
    ]


@dataclass(frozen=True)
class _Rows:
    """Rows of the log as arrays of one length."""

    ids: pa.ChunkedArray
    row: np.ndarray
    times: np.ndarray
    mine: np.ndarray  # newest versions, of the kind that is looked at
    held: np.ndarray


def _of_kind(kind: str, days: int, now: datetime, rows: _Rows) -> Due:
    before = now - timedelta(days=days)
    old = rows.mine & (rows.times < schema.micros(before))
    out = np.isin(rows.row, rows.row[old & ~rows.held])
    ids = rows.ids.filter(pa.array(out)).to_pylist()
    held = int((old & rows.held).sum())
    return Due(name=f"events of kind {kind}", days=days, before=before, ids=tuple(ids), held=held)


def _is_newest(versions: pa.Table, among_all: np.ndarray) -> np.ndarray:
    """Return which of all rows are the newest version of their row: (n,) bool."""
    found = among_all.copy()
    known = log.microseconds(versions["known_at"])
    found[among_all] = log.replaced_at(known, versions["event_id"]) == log.NEVER
    return found


def _is(rows: pa.Table, kind: str) -> np.ndarray:
    return among(rows["kind"], [kind])


def refused(workspace: Workspace, days: int, holds: Holds, now: datetime) -> Due:
    """Return the rows of quarantine that are due. A hold over an account or a lead holds the rows
    of which a cell is its key.
    """
    before = now - timedelta(days=days)
    tables = workspace.tables
    rows = quarantine.SCHEMA.empty_table()
    if tables.head(quarantine.TABLE) is not None:
        rows = tables.read(quarantine.TABLE).select(quarantine.SCHEMA.names).cast(rows.schema)
    old = rows.filter(pc.less(rows["refused_at"], pa.scalar(before, log.MICROSECONDS)))
    is_held = among(old["subject"], holds.keys("subject"))
    keys = {*holds.keys("account"), *holds.keys("lead")}
    if keys:
        cells = quarantine.opened(workspace.vault, old)
        named = {r["quarantine_id"] for r in cells if keys & set(r["cells"].values())}
        is_held |= among_ids(old["quarantine_id"], named)
    ids = old["quarantine_id"].filter(pa.array(~is_held)).to_pylist()
    held = int(is_held.sum())
    return Due(name="quarantine", days=days, before=before, ids=tuple(ids), held=held)


def among_ids(ids: pa.ChunkedArray, named: set[str]) -> np.ndarray:
    """Return which ids are named, by hexadecimal digits: (n,) bool."""
    return np.array([each.hex() in named for each in ids.to_pylist()], np.bool_)


def scores(workspace: Workspace, table: str, days: int, holds: Holds, now: datetime) -> Due:
    """Return the snapshots of a table of scores that are due: but the newest, and those with a
    score of a lead or an account that is held.
    """
    before, due, held = now - timedelta(days=days), list[object](), 0
    for commit in workspace.tables.history(table)[:-1]:
        if commit.at >= before:
            continue
        rows = workspace.tables.read(table, commit.snapshot, ["entity", "account"])
        keys = [("entity", holds.keys("lead")), ("account", holds.keys("account"))]
        if any(among(rows[name], named).any() for name, named in keys):
            held += 1
        else:
            due.append(commit.snapshot)
    return Due(name=f"snapshots of {table}", days=days, before=before, ids=tuple(due), held=held)


def identities(workspace: Workspace, days: int, holds: Holds, now: datetime) -> Due:
    """Return the persons of whom values are kept and nothing was heard since."""
    before = now - timedelta(days=days)
    kept, known = schema.identities.c.subject, schema.subjects.c
    asked = sa.select(kept).distinct().join(schema.subjects, known.subject == kept)
    with workspace.database.connect() as connection:
        old = connection.scalars(asked.where(known.created_at < schema.micros(before))).all()
    heard, theirs = _heard_since(workspace, before, holds)
    silent = [subject for subject in old if subject not in heard]
    is_held = [subject in theirs for subject in silent]
    ids = [subject for subject, out in zip(silent, is_held, strict=True) if not out]
    name = "identities of persons"
    return Due(name=name, days=days, before=before, ids=tuple(sorted(ids)), held=sum(is_held))


def _heard_since(workspace: Workspace, before: datetime, holds: Holds) -> tuple[set[str], set[str]]:
    """Return who was heard of since, and who is held, be it with an account or a lead."""
    held, head = set(holds.keys("subject")), workspace.tables.head(log.TABLE)
    if head is None:
        return set(), held
    names = ["person", "account", "lead", "event_time"]
    rows = workspace.tables.read(log.TABLE, head, names)
    late = pc.greater_equal(rows["event_time"], pa.scalar(before, log.MICROSECONDS))
    theirs = rows["person"].filter(pa.array(holds.of_rows(rows)))
    return _persons(rows["person"].filter(late)), held | _persons(theirs)


def _persons(column: pa.ChunkedArray) -> set[str]:
    return set(column.drop_null().unique().to_pylist())
