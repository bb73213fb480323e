"""The features of whom a question is about, from the log and the events of the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster import schema
from cluster.errors import Refusal
from features import compute, contracts, log, spine
from features.online import areas, entity
from serving.access import rows
from serving.answer import consent, questions
from serving.answer.seen import Seen
from serving.decide import Case, cases_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cluster.access.principal import Principal
    from features.consent import Keeper
    from features.contracts import Rules
    from features.online import OnlineStore
    from features.online.history import History
    from features.online.store import Glance, Placed
    from serving.answer.questions import Question
    from serving.slots.slot import Slot


@dataclass(frozen=True, kw_only=True)
class Found:
    """Whom a question may mean, and which events of the log that rests on."""

    cases: tuple[Case, ...]  # one; of an account, one per open lead
    seen: Seen
    among: tuple[str, ...] | None = None  # the entities of the cases, where others are unseen
    withheld: tuple[str, ...] = ()  # leads that were left out: somebody forbade to score them


@dataclass(frozen=True, kw_only=True)
class Gatherer:
    """Reads the online store. Safe to share between threads."""

    store: OnlineStore
    rules: Rules  # that events of a request must keep
    keeper: Keeper | None = None  # of what persons forbade; None where it does not count

    def look(self, asked: Sequence[Question]) -> Glance:
        """Look once for all whom questions are about."""
        return self.store.glance([(each.kind, each.key) for each in asked])

    def find(
        self,
        slot: Slot,
        question: Question,
        at: datetime,
        look: Glance,
        eyes: Principal | None = None,
    ) -> Found | Refusal:
        """Return whom a question may mean at T, with their features, given what `look` found; for
        `eyes` that are bound to rows, of these alone. Events of the request move no row.
        """
        there = look.of(question.kind, question.key)
        if there is None or not _sees(eyes, there, question.kind, question.key):
            return questions.unknown(question)
        shard, stored = there
        history = self.joined(stored, shard, question, at)
        if isinstance(history, Refusal):
            return history
        cases = every = cases_at(slot, question, history, at)
        if eyes is not None:
            cases = tuple(c for c in every if _sees(eyes, there, slot.target.entity, c.entity))
        if not cases:
            return questions.not_open(question, at)
        among = None if len(cases) == len(every) else tuple(case.entity for case in cases)
        kept = self._allowed(slot, question, history, cases)
        if isinstance(kept, Refusal):
            return kept
        seen = Seen.of(shard, stored, schema.micros(at))
        return Found(cases=kept.cases, seen=seen, among=among, withheld=kept.withheld)

    def unseen(self, question: Question) -> Refusal | None:
        """Return why nothing may be said about whom nothing was read yet; None if it may."""
        return consent.unseen(self.keeper, question) if self.keeper else None

    def _allowed(
        self, slot: Slot, question: Question, history: History, cases: tuple[Case, ...]
    ) -> consent.Allowed | Refusal:
        if self.keeper is None or slot.target.entity != consent.LEAD:
            return consent.Allowed(cases=cases)
        return consent.allowed(self.keeper, question, history, cases)

    def shows(self, body: Mapping[str, Any], eyes: Principal | None) -> bool:
        """Is the decision of a record for somebody's eyes: who was asked about, and who was chosen
        of an account?
        """
        if eyes is None:
            return True
        if "kind" not in body:  # of the first format
            return False
        asked = (body["kind"], body["key"])
        chosen = [("lead", body["entity"])] if body["kind"] == "account" and body["seen"] else []
        return all(self._is_seen(eyes, *named) for named in (asked, *chosen))

    def _is_seen(self, eyes: Principal, kind: str, key: str) -> bool:
        there = self.store.of_entity(kind, key)
        return there is not None and _sees(eyes, there, kind, key)

    def joined(
        self, stored: History, shard: str, question: Question, at: datetime
    ) -> History | Refusal:
        """Return the events of a shard with those of the question beside them."""
        if not question.events:
            return stored
        late = next((each for each in question.events if each["event_time"] >= at), None)
        if late:
            return questions.not_before(late, at)
        checked = contracts.check(self.rules, _candidates(question, at))
        if checked.bad.num_rows:
            return Refusal(
                rule="events must keep their contracts",
                value=str(checked.bad["reasons"][0]),
                remedy="correct the event and ask again",
            )
        return entity.joined(stored, shard, log.identified(checked.good))


def _sees(eyes: Principal | None, there: Placed, kind: str, key: str) -> bool:
    """Is an entity that lives in a shard for somebody's eyes?"""
    if eyes is None:
        return True
    shard, history = there
    return rows.sees(eyes, areas.of_history(history, shard, kind, key))


def cases_at(slot: Slot, question: Question, history: History, at: datetime) -> tuple[Case, ...]:
    """Return whom a question may mean at T, given all events of their shard."""
    if question.kind != slot.target.entity:
        return _open_leads(slot, history.table(), question.key, at)
    row = entity.row(slot.program, history, question.key, at)
    if row is None:
        return ()
    keys = row.keys
    case = Case(entity=question.key, account=keys["account"], time=at, features=row.features)
    return (case,)


def _open_leads(slot: Slot, events: pa.Table, account: str, at: datetime) -> tuple[Case, ...]:
    rows = spine.scoring(slot.target, events, at)
    mine = rows.filter(pc.equal(rows["account"], account))
    view = slot.program.view
    table = compute.compute(view, events.select(compute.COLUMNS), mine)
    return tuple(cases_of(table, [feature.name for feature in view.features]))


def _candidates(question: Question, at: datetime) -> pa.Table:
    rows = [
        {**event, "source": "request", "row_key": f"request:{n}", "known_at": at}
        for n, event in enumerate(question.events)
    ]
    return pa.Table.from_pylist(rows, schema=log.CANDIDATE)
