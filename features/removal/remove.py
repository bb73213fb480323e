"""Removing rows: from the log and from quarantine, from every snapshot and file, from the online
store and from the free space of the database. Each step can be the last; a repeat ends the rest.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from cluster import purge, schema, shredding
from features import log
from features.consent import arrived
from features.ingest import quarantine
from features.online import follower, keys, payload, tail

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile

    from cluster.database import Database
    from cluster.workspace import Workspace

ID = {log.TABLE: "event_id", quarantine.TABLE: "quarantine_id"}


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What was taken out of a table."""

    rows: int = 0
    files: int = 0  # deleted


def from_log(workspace: Workspace, ids: pa.Array) -> Removed:
    """Take events out of the log, of which none waits to arrive, and out of the online store."""
    rows = _take_out(workspace, log.TABLE, ids)
    _drop(workspace.database, [each.hex() for each in ids.to_pylist()])
    return Removed(rows=rows, files=end(workspace, log.TABLE))


def from_quarantine(workspace: Workspace, ids: pa.Array) -> Removed:
    """Take refused rows out of quarantine."""
    rows = _take_out(workspace, quarantine.TABLE, ids)
    return Removed(rows=rows, files=end(workspace, quarantine.TABLE))


def end(workspace: Workspace, table: str) -> int:
    """Purge a table from which rows were taken out, if it is not done; returns how many files."""
    if not workspace.tables.exists(table) or not purge.is_due(workspace, table):
        return 0
    # once more: the commit that took files out names them, with their least and greatest values
    workspace.tables.commit(table, (), properties={purge.REMOVED: "0"})
    if table == log.TABLE:
        follower.rebuild(workspace)
        _drop_strange_keys(workspace.database)
    return purge.purge(workspace, table)


def scrub(database: Database) -> None:
    """Write the database anew, without what lay in its free space; on PostgreSQL see privacy.md."""
    if database.engine.dialect.name != "sqlite":
        return
    with closing(database.engine.raw_connection()) as connection:
        connection.cursor().execute("VACUUM").close()
    shredding.scrub(database)


def _take_out(workspace: Workspace, table: str, ids: pa.Array) -> int:
    """Commit a table without some rows; returns how many those were."""
    tables, column = workspace.tables, ID[table]
    while len(ids) and (head := tables.head(table)) is not None:
        old: list[DataFile] = []
        new: list[DataFile] = []
        rows = 0
        for file in tables.files(table, head):
            held = tables.read_files(table, [file], [column])[column]
            is_out = pc.is_in(held, value_set=ids)
            if count := pc.sum(is_out).as_py() or 0:
                kept = tables.read_files(table, [file]).filter(pc.invert(is_out))
                old.append(file)
                new += tables.write(table, kept)
                rows += count
        if not old:
            return 0
        said = {purge.REMOVED: str(rows)}
        if tables.commit_after(table, new, head=head, replacing=old, properties=said) is not None:
            return rows
    return 0


def _drop(database: Database, ids: list[str]) -> None:
    """Take events out of the tail and off the list of words, and overwrite what they were."""
    events, given = schema.online_events, [{"an_id": id} for id in ids]
    with database.begin() as connection:
        shredding.secure(connection)
        if given:
            gone = events.delete().where(events.c.event_id == sa.bindparam("an_id"))
            connection.execute(gone, given)
        arrived.drop(connection, ids)


def _drop_strange_keys(database: Database) -> None:
    """Take keys out of the tail that no event of it names."""
    with database.connect() as connection:
        held = connection.execute(sa.select(schema.online_events.c.payload)).scalars().all()
    named = {tuple(pair.values()) for pair in keys.pairs(payload.unpack(held)).to_pylist()}
    there = tail.pairs(database).to_pylist()
    tail.drop_pairs(database, [pair for pair in there if tuple(pair.values()) not in named])
