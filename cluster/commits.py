"""Commits: what a table says about each of its snapshots that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cluster import schema

if TYPE_CHECKING:
    from pyiceberg.table import Table

_MICROSECONDS = 1000  # in a millisecond


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One snapshot: made from which, when, and what was said of it."""

    snapshot: int
    parent: int | None
    at: datetime  # UTC
    operation: str  # append, overwrite, delete or replace
    properties: Mapping[str, str]

    def count(self, name: str) -> int | None:
        """Return a number that the format itself notes, such as `added-records`."""
        found = self.properties.get(name)
        return None if found is None else int(found)


def of_table(table: Table) -> list[Commit]:
    """Return the commits behind the newest snapshot, oldest first."""
    kept = {snapshot.snapshot_id: snapshot for snapshot in table.snapshots()}
    chain = []
    here = table.current_snapshot()
    while here is not None:
        summary = here.summary
        chain.append(
            Commit(
                snapshot=here.snapshot_id,
                parent=here.parent_snapshot_id,
                at=schema.moment(here.timestamp_ms * _MICROSECONDS),
                operation=summary.operation.value if summary else "",
                properties=dict(summary.additional_properties) if summary else {},
            )
        )
        here = kept.get(here.parent_snapshot_id) if here.parent_snapshot_id else None
    return chain[::-1]
