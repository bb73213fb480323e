"""Erasure of persons: the key first, then all that tells of them. A repeat ends what is left.

What goes: the key and the values of each in the vault, events that name them or a lead that is
theirs alone, refused rows under their key or with a value of theirs in a cell, words of theirs that
wait, pages that name them. What stays: the tombstone, and the journal, which never named them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.vault import Erased
from features import compaction, log
from features.ingest import quarantine
from features.removal import pages, remove
from features.removal.holds import Holds, among

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.workspace import Workspace

COLUMNS = ("event_id", "person", "account", "lead")


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What an erasure reached, by place."""

    subjects: int
    keys: int  # destroyed now; of the others they were destroyed before
    values: int  # of the vault, that nobody can open now
    events: int
    refused: int  # rows of quarantine
    rows_keys: int  # keys of rows of quarantine that had no person, destroyed
    pages: int
    files: int  # deleted


def holding(workspace: Workspace, subjects: Sequence[str], holds: Holds) -> dict[str, list[str]]:
    """Return the names of the holds over each subject, be it by an account or a lead of theirs."""
    found = {subject: set(holds.over("subject", [subject])) for subject in subjects}
    head = workspace.tables.head(log.TABLE)
    if head is not None and holds.all:
        rows = workspace.tables.read(log.TABLE, head, COLUMNS)
        for subject in subjects:
            mine = _theirs(rows, [subject])
            for over in ("account", "lead"):
                found[subject].update(holds.over(over, mine[over].drop_null().to_pylist()))
    return {subject: sorted(names) for subject, names in found.items() if names}


def erase(workspace: Workspace, subjects: Sequence[str], now: datetime) -> Reach:
    """Erase persons, of whom none is held."""
    compaction.fold(workspace)  # nothing waits outside of the log
    events, own_leads = _events(workspace, subjects)
    values = {subject: _values(workspace, subject) for subject in subjects}
    known = {value for found in values.values() for value in found}
    rows = _refused(workspace, subjects, known)
    own = sorted(set(rows["subject"].to_pylist()) - set(subjects))
    reached = pages.delete_naming(workspace, [*subjects, *own_leads])
    taken = remove.from_log(workspace, events)
    refused = remove.from_quarantine(workspace, rows["quarantine_id"].combine_chunks())
    rows_keys = sum(workspace.vault.destroy(subject, now) for subject in own)
    keys = sum(workspace.vault.destroy(subject, now) for subject in subjects)
    remove.scrub(workspace.database)
    return Reach(
        subjects=len(subjects),
        keys=keys,
        values=sum(map(len, values.values())),
        events=taken.rows,
        refused=refused.rows,
        rows_keys=rows_keys,
        pages=reached,
        files=taken.files + refused.files,
    )


def leads(workspace: Workspace, subjects: Sequence[str]) -> list[str]:
    """Return the leads that are theirs alone."""
    compaction.fold(workspace)  # nothing waits outside of the log
    return _events(workspace, subjects)[1]


def _events(workspace: Workspace, subjects: Sequence[str]) -> tuple[pa.Array, list[str]]:
    """Return the ids of the events that go, and the leads of which nothing stays."""
    head = workspace.tables.head(log.TABLE)
    if head is None:
        return pa.array([], pa.binary(16)), []
    rows = workspace.tables.read(log.TABLE, head, COLUMNS)
    mine = _theirs(rows, subjects)
    leads = mine["lead"].drop_null().unique().to_pylist()
    others = rows.filter(pa.array(~among(rows["person"], subjects))).filter(
        pc.field("person").is_valid()
    )
    shared = set(others["lead"].drop_null().to_pylist())
    ids = mine["event_id"].combine_chunks().cast(pa.binary(16))
    return ids, [lead for lead in leads if lead not in shared]


def _theirs(rows: pa.Table, subjects: Sequence[str]) -> pa.Table:
    """Return the events that name one of them, or a lead that is no other person's."""
    named = among(rows["person"], subjects)
    is_other = pc.is_valid(rows["person"]).to_numpy() & ~named
    leads = set(rows["lead"].filter(pa.array(named)).drop_null().to_pylist())
    leads -= set(rows["lead"].filter(pa.array(is_other)).drop_null().to_pylist())
    found: np.ndarray = named | among(rows["lead"], leads)
    return rows.filter(pa.array(found))


def _values(workspace: Workspace, subject: str) -> list[str]:
    """Return what the vault keeps of a person; nothing of one who was erased before."""
    try:
        kept = workspace.vault.identity(subject)
    except Erased:
        return []
    return [value for values in kept.values() for value in values]


def _refused(workspace: Workspace, subjects: Sequence[str], known: set[str]) -> pa.Table:
    """Return the refused rows that are theirs: under their key, or with a value of theirs."""
    if workspace.tables.head(quarantine.TABLE) is None:
        return quarantine.SCHEMA.empty_table()
    rows = workspace.tables.read(quarantine.TABLE).select(quarantine.SCHEMA.names)
    rows = rows.cast(quarantine.SCHEMA)
    words = {value.casefold() for value in known if len(value) > 2}
    cells = quarantine.opened(workspace.vault, rows) if words else ()
    named = {
        row["quarantine_id"]
        for row in cells
        if any(word in text.casefold() for text in row["cells"].values() for word in words)
    }
    is_named = np.array([id.hex() in named for id in rows["quarantine_id"].to_pylist()], np.bool_)
    return rows.filter(pa.array(is_named | among(rows["subject"], subjects)))
