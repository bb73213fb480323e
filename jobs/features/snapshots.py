"""Snapshots of feature rows: which views in which versions they hold, and how old they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from cluster.errors import WrongUse, nearest
from features import health, log

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from cluster.commits import Commit
    from cluster.tables import Tables

VIEWS, AS_OF = "funnelcast.view", "funnelcast.as_of"  # properties of a snapshot of feature rows


@dataclass(frozen=True, kw_only=True)
class Held:
    """The newest snapshot of a table of feature rows."""

    table: str
    snapshot: int
    at: datetime  # of the commit
    as_of: datetime  # the knowledge cut
    views: Mapping[str, str]  # name -> version


class Snapshots:
    """The newest snapshots of all tables of feature rows."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @cached_property
    def held(self) -> list[Held]:
        """All of them, newest first."""
        heads = [(name, self._tables.history(name)) for name in self._tables.names()]
        found = [_held(name, chain[-1]) for name, chain in heads if chain and _is_ours(chain[-1])]
        return sorted(found, key=lambda each: (each.at, each.table), reverse=True)

    def of_view(self, view: str, table: str | None = None) -> list[Held]:
        """Return those that hold a view, newest first; WrongUse for a table asked for that does
        not.
        """
        found = [each for each in self.held if view in each.views]
        if table is None:
            return found
        names = [each.table for each in found]
        if table not in names:
            hint = nearest(table, names) if names else "materialize a target that has the view"
            raise WrongUse(f"--table must hold rows of view '{view}', got '{table}': {hint}")
        return [each for each in found if each.table == table]

    def health(self, held: Held) -> pa.Table | None:
        """Return the health of a snapshot; None if it was not measured."""
        return health.of_snapshot(self._tables, held.table, held.snapshot)


def _is_ours(commit: Commit) -> bool:
    return {VIEWS, AS_OF, log.MADE_FROM} <= set(commit.properties)


def _held(table: str, commit: Commit) -> Held:
    pairs = (each.partition("@") for each in commit.properties[VIEWS].split(","))
    return Held(
        table=table,
        snapshot=commit.snapshot,
        at=commit.at,
        as_of=datetime.fromisoformat(commit.properties[AS_OF]),
        views={name: version for name, _, version in pairs},
    )
