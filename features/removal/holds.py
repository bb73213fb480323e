"""Legal holds: what may not be removed until somebody lifts them. They live in the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import Refusal
from cluster.schema import checked_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.access.entries import Act
    from cluster.workspace import Workspace

PLACED, LIFTED = "hold.placed", "hold.lifted"  # kinds of journal entries
OVER = ("subject", "account", "lead")
COLUMN = {"subject": "person", "account": "account", "lead": "lead"}  # of the log


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A hold over one subject, account or lead."""

    name: str
    over: str  # one of OVER
    key: str


@dataclass(frozen=True, kw_only=True)
class Holds:
    """The holds in force."""

    all: tuple[Hold, ...]

    @classmethod
    def read(cls, workspace: Workspace) -> Holds:
        """Read them from the journal."""
        found: dict[str, Hold] = {}
        placed = workspace.journal.entries(PLACED)
        lifted = {e.body["placed"] for e in workspace.journal.entries(LIFTED)}
        for entry in placed:
            if entry.id not in lifted:
                said = {n: entry.body[n] for n in ("name", "over", "key")}
                found[said["name"]] = Hold(**said)
        return cls(all=tuple(found[name] for name in sorted(found)))

    def keys(self, over: str) -> list[str]:
        """Return what holds of a kind are over."""
        return [hold.key for hold in self.all if hold.over == over]

    def of_rows(self, rows: pa.Table) -> np.ndarray:
        """Return which rows (columns person, account, lead; those that are there) are held: (n,)
        bool. A row of a lead of a held subject is held, as far as a row names both.
        """
        held = np.zeros(rows.num_rows, np.bool_)
        for over in OVER:
            if COLUMN[over] in rows.column_names:
                held |= among(rows[COLUMN[over]], self.keys(over))
        if {"person", "lead"} <= set(rows.column_names):
            theirs = rows["lead"].filter(pa.array(among(rows["person"], self.keys("subject"))))
            held |= among(rows["lead"], theirs.drop_null().unique().to_pylist())
        return held

    def over(self, kind: str, keys: Iterable[str]) -> list[str]:
        """Return the names of the holds over one of some keys."""
        wanted = set(keys)
        return [hold.name for hold in self.all if hold.over == kind and hold.key in wanted]


def place(workspace: Workspace, hold: Hold, act: Act) -> Refusal | None:
    """Put a hold in force; a Refusal if one of this name is."""
    checked_name("the name of a hold", hold.name)
    checked_name(f"the {hold.over} of a hold", hold.key)
    if any(each.name == hold.name for each in Holds.read(workspace).all):
        return Refusal(
            rule="a hold must have a name of its own", value=f"'{hold.name}' again",
            remedy="choose another name",
        )  # fmt: skip
    _record(workspace, PLACED, dict(vars(hold)), act)
    return None


def lift(workspace: Workspace, name: str, act: Act) -> Refusal | None:
    """End a hold; a Refusal if none of this name is in force."""
    lifted = {e.body["placed"] for e in workspace.journal.entries(LIFTED)}
    mine = [
        entry
        for entry in workspace.journal.entries(PLACED)
        if entry.body["name"] == name and entry.id not in lifted
    ]
    if not mine:
        return Refusal(
            rule="a hold must be in force to be lifted", value=f"none called '{name}'",
            remedy="look at python -m jobs.retain holds",
        )  # fmt: skip
    for entry in mine:
        _record(workspace, LIFTED, {"name": name, "placed": entry.id}, act)
    return None


def among(column: pa.ChunkedArray, keys: Iterable[str]) -> np.ndarray:
    """Return which cells are one of some keys: (n,) bool."""
    plain = column.cast(pa.string())
    found: np.ndarray = pc.is_in(plain, value_set=pa.array(list(keys), pa.string())).to_numpy()
    return found


def _record(workspace: Workspace, kind: str, body: dict[str, Any], act: Act) -> None:
    said = {**body, "actor": act.actor, "reason": act.reason}
    workspace.journal.record(kind, said, now=act.now)
