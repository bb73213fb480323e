"""The decision service without its HTTP edge: a question in, a durable decision out."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import Refusal
from cluster.runs import code_version
from cluster.settings import CONFIGS, Frozen
from features import arrivals, compute, contracts, log, online, spine
from features.online import entity, warm
from features.targets import Target, load_target
from serving import policy as policies
from serving.decide import Basis, Decision, calibrator_id, decide
from serving.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.workspace import Workspace
    from features.compute.program import Program
    from features.online.history import History
    from serving.model import Model
    from serving.policy import Policy

KIND = "decision"  # of a journal entry
KINDS = ("lead", "opportunity", "account")  # of whom one may ask


class Unknown(Refusal):
    """Nobody of this id was ever seen."""


class NoModel(Refusal):
    """No model answers for this kind of entity yet."""


class Answer(Frozen):
    """Which target and policy answer for a kind of entity."""

    target: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A loaded model with everything that makes its answers."""

    target: Target
    program: Program  # of its features
    model: Model
    policy: Policy
    basis: Basis

    @classmethod
    def load(cls, workspace: Workspace, answer: Answer) -> Self | Refusal:
        """Load the stable model of a target from the registry."""
        target = load_target(answer.target)
        found = Registry(workspace.blobs, workspace.refs, workspace.journal).stable(target.name)
        if isinstance(found, Refusal):
            return found
        model_id, model = found
        policy = policies.load_policy(answer.policy)
        basis = Basis(
            target=f"{target.name}@{target.version}",
            model=model_id,
            calibrator=calibrator_id(model.calibrator),
            policy=policy.id,
            view=target.made_by,
            code=code_version(),
        )
        program = entity.program(target)
        return cls(target=target, program=program, model=model, policy=policy, basis=basis)

    def rows(self, question: Question, history: History, at: datetime) -> pa.Table:
        """Return the features of whom a question may mean, given the events of the shard."""
        if question.kind == "account":
            return _open_leads(self.target, history.table(), question.key, at)
        return entity.table(self.program, entity.row(self.program, history, question.key, at))

    def warm(self, kind: str) -> None:
        """Answer about nobody, so that no kernel is left to be compiled by a request."""
        for history in warm.histories(self.target):
            rows = self.rows(Question(kind=kind, key=warm.KEY), history, warm.AT)
            decide(self.model, self.policy, rows, warm.AT, basis=self.basis)


@dataclass(frozen=True, kw_only=True)
class Question:
    """About whom, as of when, and what the caller knows beyond the log."""

    kind: str  # lead, opportunity or account
    key: str
    as_of: datetime | None = None
    events: tuple[Mapping[str, Any], ...] = ()


class DecisionService:
    """Answers questions from one workspace. Safe to share between threads."""

    def __init__(self, workspace: Workspace, answers: Mapping[str, Answer]) -> None:
        self._workspace = workspace
        self._store = online.OnlineStore(workspace)
        self._contracts = contracts.load_contracts(CONFIGS / "contracts")
        self._entrance = arrivals.Entrance(workspace, self._store, self._contracts)
        loaded = {kind: Slot.load(workspace, answer) for kind, answer in answers.items()}
        self.slots = {kind: slot for kind, slot in loaded.items() if isinstance(slot, Slot)}
        self.missing = [str(slot) for slot in loaded.values() if isinstance(slot, Refusal)]
        self._warm()

    def decide(self, question: Question) -> Decision | Refusal:
        """Score, route and record; the decision is durable when it is returned."""
        now = self._workspace.clock()
        found = self._rows(question, question.as_of or now)
        if isinstance(found, Refusal):
            return found
        slot, rows = found
        made = decide(slot.model, slot.policy, rows, now, basis=slot.basis)
        best = max(made, key=lambda d: (d.probability, d.entity))
        decision = best.evolve(id=uuid.uuid4().hex)
        self._workspace.journal.record(KIND, decision.as_dict(), id=decision.id, now=now)
        return decision

    def arrive(self, body: bytes, *, is_batch: bool) -> list[arrivals.Outcome] | Refusal:
        """Take in the events of a request; what is answered is durable."""
        sent = arrivals.read(body, is_batch=is_batch)
        return sent if isinstance(sent, Refusal) else self._entrance.accept(sent)

    def recorded(self, id: str) -> dict[str, Any] | None:
        """Return the record of a decision; None if there is none of this id."""
        entry = self._workspace.journal.get(id)
        return entry.body if entry is not None and entry.kind == KIND else None

    def ready(self) -> list[str]:
        """Return what keeps the service from answering; empty when it is ready."""
        self._workspace.refs.get("ready")  # the database answers
        return self.missing

    def _warm(self) -> None:
        for kind in KINDS:
            if slot := self._slot(kind):
                self._store.shard_of(kind, warm.KEY)
                self._store.history(warm.KEY)
                slot.warm(kind)

    def _slot(self, kind: str) -> Slot | None:
        return self.slots.get("lead" if kind == "account" else kind)

    def _rows(self, question: Question, at: datetime) -> tuple[Slot, pa.Table] | Refusal:
        slot = self._slot(question.kind)
        if slot is None:
            return _no_model(question.kind, self.missing)
        shard = self._store.shard_of(question.kind, question.key)
        if shard is None:
            return _unknown(question)
        history = self._history(shard, question, at)
        if isinstance(history, Refusal):
            return history
        rows = slot.rows(question, history, at)
        return (slot, rows) if rows.num_rows else _not_open(question, at)

    def _history(self, shard: str, question: Question, at: datetime) -> History | Refusal:
        stored = self._store.history(shard)
        if not question.events:
            return stored
        late = [e for e in question.events if e["event_time"] >= at]
        if late:
            return _not_before(late[0], at)
        sent = _candidates(question.events, at)
        checked = contracts.check(self._contracts, sent)
        if checked.bad.num_rows:
            return Refusal(
                rule="events must keep their contracts",
                value=str(checked.bad["reasons"][0]),
                remedy="correct the event and ask again",
            )
        return entity.joined(stored, shard, log.identified(checked.good))


def _candidates(events: tuple[Mapping[str, Any], ...], at: datetime) -> pa.Table:
    rows = [
        {**event, "source": "request", "row_key": f"request:{n}", "known_at": at}
        for n, event in enumerate(events)
    ]
    return pa.Table.from_pylist(rows, schema=log.CANDIDATE)


def _open_leads(target: Target, events: pa.Table, account: str, at: datetime) -> pa.Table:
    rows = spine.scoring(target, events, at)
    mine = rows.filter(pc.equal(rows["account"], account))
    return compute.compute(target.features, events.select(compute.COLUMNS), mine)


def _unknown(question: Question) -> Refusal:
    return Unknown(
        rule=f"the {question.kind} must be in the event log",
        value=f"'{question.key}'",
        remedy="ingest its events, or check the id",
    )


def _not_before(event: Mapping[str, Any], at: datetime) -> Refusal:
    return Refusal(
        rule=f"an event must lie before the decision's time {at.isoformat()}",
        value=event["event_time"].isoformat(),
        remedy="leave it out, or ask as of a later time",
    )


def _not_open(question: Question, at: datetime) -> Refusal:
    what = "an open lead" if question.kind == "account" else f"a {question.kind} created"
    return Refusal(
        rule=f"there must be {what} by {at.astimezone(UTC).isoformat()}",
        value=f"none for '{question.key}'",
        remedy="ask as of a later time",
    )


def _no_model(kind: str, missing: list[str]) -> Refusal:
    return NoModel(
        rule=f"a model must answer for '{kind}'",
        value="; ".join(missing) or "none configured",
        remedy="train and publish one, then restart the service",
    )
