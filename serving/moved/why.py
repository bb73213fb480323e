"""Why scores moved: the two scorings found, their rows told again, and the change split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import FunnelcastError, Refusal
from serving import batch
from serving.moved import history, past, replay
from serving.moved.history import Asked
from serving.moved.retold import Span
from serving.moved.split import Looks, Moved, split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cluster.workspace import Workspace
    from features.targets import Target
    from serving.moved.past import Made

EVENTS = 20  # that are shown of one entity, the newest
SHOWN = ("came", "kind", "name", "event_time", "known_at", "source", "source_row")


class NotReplayed(FunnelcastError):
    """A score does not come out again from what it is said to be made from."""


@dataclass(frozen=True, kw_only=True)
class Why:
    """Why one score moved, with the events that came."""

    moved: Moved
    count: int  # of events that came, late, withdrawn or new
    events: tuple[Mapping[str, Any], ...]  # the newest EVENTS of them: SHOWN

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, times in ISO 8601."""
        moved = self.moved
        events = [
            {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in each.items()}
            for each in self.events
        ]
        return {
            "entity": moved.entity,
            "before": vars(moved.before),
            "after": vars(moved.after),
            "parts": [vars(part) for part in moved.parts],
            "rerouted_by": moved.rerouted_by,
            "events_count": self.count,
            "events": events,
        }


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Why scores moved between two scorings."""

    then: int  # snapshots of the scores
    now: int
    span: tuple[datetime, datetime]  # T of both
    whys: tuple[Why, ...]  # in the order asked for
    unsplit: Mapping[str, str]  # entities whose change cannot be told, and the reason


def moves(workspace: Workspace, target: Target, top: int) -> list[str]:
    """Return the entities whose probability changed most since the last scores."""
    found = batch.frame(workspace, target)
    size = found["change"].abs().sort_values(ascending=False, kind="stable")
    return [str(name) for name in found["entity"][size.dropna().index[:top]]]


def why(workspace: Workspace, target: Target, entities: Sequence[str]) -> Answer | Refusal:
    """Return why the newest scores of entities differ from those before; a Refusal names an input
    that is gone. NoScores when nothing was scored, NotReplayed when scores do not come out again.
    """
    table, head = target.scores_table, batch.require_scores(workspace, target)
    try:
        now = past.made(workspace, table, head)
        then = past.made(workspace, table, past.before(workspace, table, head), beside=now)
        return _Question(workspace=workspace, target=target, then=then, now=now).answer(entities)
    except past.InputGone as gone:
        return gone.refusal


@dataclass(frozen=True, kw_only=True)
class _Question:
    """Two scorings of one target."""

    workspace: Workspace
    target: Target
    then: Made
    now: Made

    def answer(self, entities: Sequence[str]) -> Answer:
        """Split the change of each entity that was scored both times."""
        rows_then, rows_now = self._rows(self.then, entities), self._rows(self.now, entities)
        were, are = set(rows_then["entity"].to_pylist()), set(rows_now["entity"].to_pylist())
        both = [each for each in dict.fromkeys(entities) if each in were & are]
        looks, came = self._looks(both, rows_then, rows_now)
        moved = split(self.then.side, self.now.side, looks)
        self._require_replayed(self.then, looks.then)
        self._require_replayed(self.now, looks.now)
        return Answer(
            then=self.then.snapshot,
            now=self.now.snapshot,
            span=(self.then.as_of, self.now.as_of),
            whys=tuple(_why(each, came.get(each.entity)) for each in moved),
            unsplit={e: _unsplit(e in were, e in are) for e in entities if e not in both},
        )

    def _rows(self, made: Made, entities: Sequence[str]) -> pa.Table:
        """Return the feature rows that were scored."""
        names = ["entity", "account", "time", *made.view.columns]
        return self._picked(made.rows.table, made.rows.snapshot, names, entities)

    def _picked(
        self, table: str, snapshot: int, names: Sequence[str], entities: Sequence[str]
    ) -> pa.Table:
        of_table = self.workspace.tables.schema(table)
        empty = batch.plain(pa.schema([of_table.field(n) for n in names]).empty_table())
        found = batch.picked(self.workspace, table, snapshot, names, entities)
        return pa.concat_tables([empty, *found])

    def _looks(
        self, both: list[str], rows_then: pa.Table, rows_now: pa.Table
    ) -> tuple[Looks, dict[str, pa.Table]]:
        """Return how the entities look in five ways, and the events that came, by entity."""
        then, now = _in_order(rows_then, both), _in_order(rows_now, both)
        if self.then.rows == self.now.rows or not both:
            return Looks(then=then, told=then, passed=then, came=then, now=now), {}
        told = history.told(self.workspace, self._asked(both, then, now))
        tables = {
            way: _in_order(pa.concat_tables([getattr(t.rows, way) for t in told]), both)
            for way in ("told", "passed", "came")
        }
        if self.then.views == self.now.views:
            tables["came"] = now
        return Looks(then=then, now=now, **tables), {
            e: t for each in told for e, t in each.came.items()
        }

    def _asked(self, both: list[str], then: pa.Table, now: pa.Table) -> Asked:
        of = {*then["account"].to_pylist(), *now["account"].to_pylist()} - {None}
        return Asked(
            target=self.target,
            view=self.then.view,
            entities=both,
            accounts=sorted(of),
            span=Span(then=self.then.as_of, now=self.now.as_of),
            log_then=past.log_if_there(self.workspace, self.then.events),
            log_now=past.log_there(self.workspace, self.now.events),
        )

    def _require_replayed(self, made: Made, rows: pa.Table) -> None:
        """NotReplayed unless each score comes out again, to the bit."""
        entities, table = rows["entity"].to_pylist(), self.target.scores_table
        names = ["entity", "probability"]
        kept = _in_order(self._picked(table, made.snapshot, names, entities), entities)
        again = replay.scored(made.side.model, rows).probability
        other = np.flatnonzero(kept["probability"].to_numpy() != again)
        if len(other):
            place = int(other[0])
            raise NotReplayed(
                f"the score of '{entities[place]}' in snapshot {made.snapshot} must come out again"
                f" as {kept['probability'][place]}, got {again[place]}: score again with the"
                " libraries of today"
            )


def _why(moved: Moved, came: pa.Table | None) -> Why:
    if came is None:
        return Why(moved=moved, count=0, events=())
    shown = came.select(SHOWN).slice(0, EVENTS).to_pylist()
    return Why(moved=moved, count=came.num_rows, events=tuple(shown))


def _in_order(rows: pa.Table, entities: Sequence[str]) -> pa.Table:
    """Return the row of each entity, in their order."""
    return rows.take(pc.index_in(pa.array(entities, pa.string()), rows["entity"]))


def _unsplit(was: bool, is_now: bool) -> str:
    if was:
        return "is not open any more: it has no new score"
    return "was scored for the first time" if is_now else "was scored neither time"
