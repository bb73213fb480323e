"""The value of a feature of one entity, and the events that made it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import WrongUse
from features import compute, log, online

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.views import View

SHOWN = ("event_time", "known_at", "kind", "name", "number", "text", "source", "source_row")


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A value and its events."""

    value: Any
    events: pa.Table  # log.SCHEMA columns, by time

    def rows(self) -> list[dict[str, Any]]:
        """Return the events to be shown, each under the id by which its lineage is found."""
        ids = self.events["event_id"].to_pylist()
        shown = self.events.select(SHOWN).to_pylist()
        plain = [{name: _plain(value) for name, value in row.items()} for row in shown]
        return [{"event": key.hex(), **row} for key, row in zip(ids, plain, strict=True)]


def traced(workspace: Workspace, view: View, name: str, entity: str, at: datetime) -> Traced:
    """Return what a feature of an entity is as of `at`; WrongUse for one that is not known."""
    store = online.OnlineStore(workspace)
    shard = store.shard_of(view.entity, entity)
    if shard is None:
        raise WrongUse(f"the {view.entity} must be in the event log, got '{entity}': check the id")
    events = store.events(shard)
    row = _row(events, view.entity, entity, at)
    made = compute.trace(view, name, events, row)
    alone = replace(view, features=tuple(f for f in view.features if f.name == name))
    value = compute.compute(alone, events, row)[name][0].as_py()
    return Traced(value=value, events=made)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _row(events: pa.Table, kind: str, entity: str, at: datetime) -> pa.Table:
    """Return a spine of one row, with the account of the entity's latest event that has one."""
    mine = events.filter(pc.and_(pc.equal(events[kind], entity), pc.is_valid(events["account"])))
    latest = mine.sort_by([("event_time", "descending")])["account"].to_pylist()
    account = pa.array(latest[:1] or [None], pa.string())
    time = pa.array([at], log.MICROSECONDS)
    return pa.table({"entity": pa.array([entity]), "account": account, "time": time})
