"""Overrides at work: what a person did instead is answered when it is on record."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from cluster.errors import Refusal
from cluster.journal import Conflict, JournalBroken
from serving.answer import overridden
from serving.answer.questions import NotRecorded
from serving.answer.service import MOST_UNRECORDED
from serving.judging.told import OVERRIDDEN
from serving.slots import policies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.journal import Entry
    from cluster.workspace import Workspace
    from serving.answer.overridden import Instead


class Overrides:
    """The overrides of one workspace. Safe to share between threads and processes."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def newest(self, decision: str) -> dict[str, Any] | None:
        """Return what a person did last instead of a decision; None if nobody did anything."""
        every = self._every(decision)
        return overridden.said(every[-1].body, every[-1].at) if every else None

    def keep(self, decided: Mapping[str, Any], instead: Instead) -> dict[str, Any] | Refusal:
        """Return the override of a decision, given its record, when it is durable. Said again it
        adds nothing; of several the newest counts.
        """
        if self._workspace.journal.waiting > MOST_UNRECORDED:
            return _not_recorded(f"more than {MOST_UNRECORDED} records that wait")
        found: Entry | Refusal | None = None
        while found is None:
            found = self._tried(decided, instead)
        return found if isinstance(found, Refusal) else overridden.said(found.body, found.at)

    def _tried(self, decided: Mapping[str, Any], instead: Instead) -> Entry | Refusal | None:
        """Return its entry, or why there is none; None if another came first."""
        id, place = decided["id"], self._workspace
        every = self._every(id)
        if every and instead.is_said(every[-1].body):
            return every[-1]
        policy = policies.of_id(place, decided["basis"]["policy"])
        if (wrong := overridden.refused(decided, instead.route, policy)) is not None:
            return wrong
        if len(every) == overridden.MOST:
            return overridden.too_often(id)
        body = overridden.body_of(decided, instead, policy)
        name = overridden.id_of(id, len(every) + 1)
        try:
            return place.journal.record(OVERRIDDEN, body, id=name, now=place.clock())
        except Conflict:
            return None
        except JournalBroken as error:
            return _not_recorded(str(error))

    def _every(self, decision: str) -> list[Entry]:
        names = (overridden.id_of(decision, number) for number in count(1))
        return list(iter(lambda: self._workspace.journal.get(next(names)), None))


def _not_recorded(cause: str) -> NotRecorded:
    return NotRecorded(
        rule="an override must be durable before it is answered",
        value=cause,
        remedy="send it again",
    )
