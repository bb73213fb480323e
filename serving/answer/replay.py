"""Replay: a decision made once more from the versions, events and times that its record names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cluster import canonical
from cluster.errors import Refusal
from serving.answer import fallback, gather, past
from serving.answer.record import Made
from serving.decide import Case, best, decide
from serving.slots.past import slot_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.workspace import Workspace
    from features.contracts import Rules
    from features.online import OnlineStore
    from serving.answer.record import Recorded
    from serving.decide import Decision
    from serving.slots.slot import Slot


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What came of making a decision once more."""

    id: str
    body: dict[str, Any] | None  # the record that came out; None where an input is gone
    differs: tuple[str, ...]  # names of the fields that came out otherwise
    gone: tuple[str, ...] = ()  # inputs that are not there any more, a sentence each
    notes: tuple[str, ...] = ()  # what is otherwise than then, and need not matter

    @property
    def is_equal(self) -> bool:
        """Did the same bytes come out?"""
        return self.body is not None and not self.differs


def replay(
    workspace: Workspace, store: OnlineStore, rules: Rules, body: Mapping[str, Any]
) -> Replayed:
    """Make the decision of a record once more, and compare every byte."""
    then = past.read(body)
    if isinstance(then, Refusal):
        return Replayed(id=body["id"], body=None, differs=(), gone=(str(then),))
    found = slot_of(workspace, then.basis)
    if isinstance(found, Refusal):
        return Replayed(id=then.id, body=None, differs=(), gone=(str(found),))
    slot = replace(found.slot, basis=then.basis)  # another code version shows in what comes out
    made = _again(slot, then, store, rules, body)
    if isinstance(made, Refusal):
        return Replayed(id=then.id, body=None, differs=(), gone=(str(made),), notes=found.notes)
    now = made.body()
    return Replayed(id=then.id, body=now, differs=_differs(body, now), notes=found.notes)


def _again(
    slot: Slot, then: Recorded, store: OnlineStore, rules: Rules, body: Mapping[str, Any]
) -> Made | Refusal:
    cases: tuple[Case, ...] | Refusal = _cases(slot, then, store, rules, body)
    if isinstance(cases, Refusal):
        return cases
    decision = _decided(slot, then, cases)
    return Made(
        id=then.id,
        question=then.question,
        decision=decision,
        seen=then.seen,
        fallback=then.fallback,
        request=then.request,
        among=then.among,
        withheld=then.withheld,
        drawn=then.drawn,
        took_ms=then.took_ms,
    )


def _cases(
    slot: Slot, then: Recorded, store: OnlineStore, rules: Rules, body: Mapping[str, Any]
) -> tuple[Case, ...] | Refusal:
    if then.seen is None:  # the rules answered before there were features
        features: dict[str, object] = {}
        keys = {"entity": then.entity, "account": then.account}
        return (Case(**keys, time=then.time, features=features),)  # type: ignore[arg-type]
    history = past.history(store, rules, body)
    if isinstance(history, Refusal):
        return history
    every = gather.cases_at(slot, then.question, history, then.time)
    among = {each.entity for each in every} if then.among is None else set(then.among)
    kept = among - set(then.withheld)
    cases = tuple(each for each in every if each.entity in kept)
    return cases or Refusal(
        rule="whom the decision was about must be known as of then",
        value=f"nobody for '{then.question.key}'",
        remedy="restore the log from a backup; a person's events may have been erased",
    )


def _decided(slot: Slot, then: Recorded, cases: tuple[Case, ...]) -> Decision:
    reasons, at = then.question.reasons, then.decided_at
    if then.fallback:
        return fallback.decision(slot, cases, at, cause=then.fallback.cause, reasons=reasons)
    made = decide(slot.model, slot.policy, cases, at, basis=slot.basis, reasons=reasons)
    return best(made)


def _differs(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    names = sorted({*then, *now})
    return tuple(n for n in names if canonical.dumps(then.get(n)) != canonical.dumps(now.get(n)))
