"""The decision service without its HTTP edge: a question in, a durable decision out, in time."""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from cluster.beat import Beat
from cluster.errors import FunnelcastError, Refusal
from cluster.settings import CONFIGS
from features import arrivals, consent, contracts, online
from features.online import warm
from features.online.areas import Areas
from serving.answer import facts, past, questions, record, writes
from serving.answer.changes import EVERY_S, Changes
from serving.answer.consent import persons
from serving.answer.gather import Gatherer
from serving.answer.lane import Lane
from serving.answer.maker import Maker
from serving.answer.mirror import Mirror
from serving.answer.prober import Prober
from serving.answer.replay import Replayed, replay
from serving.answer.seen import Seen
from serving.answer.ticket import Outcome, Ticket
from serving.answer.watch import Watch
from serving.judging.judge import Judge
from serving.observe import traces
from serving.observe.folder import Folder
from serving.observe.lines import Lines
from serving.observe.readings import Readings
from serving.slots.inflight import Marks
from serving.slots.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cluster.access.principal import Principal
    from cluster.workspace import Workspace
    from features.online.history import History
    from serving.answer.breaker import Breaker
    from serving.answer.questions import Question
    from serving.slots.active import Slots
    from serving.slots.elsewhere import Apart
    from serving.slots.slot import Answer, Slot

DEADLINE_MS = 250.0  # of a request that says none
RESERVE = 0.27  # of a deadline: for the rules and the journal
MOST_RESERVE_MS = 300.0  # a disk may stand still for some tenths of a second
WAY_BACK = 0.03  # of a deadline
STUCK_S = 0.5  # a group of tickets takes some milliseconds
MOST_UNRECORDED = 1_000  # records that wait for the journal: two groups of it


class Unwell(FunnelcastError):
    """This process should be replaced by another."""


class DecisionService:
    """Answers questions from one workspace. Safe to share between threads."""

    def __init__(
        self, workspace: Workspace, answers: Mapping[str, Answer], *, apart: Apart | None = None
    ) -> None:
        self.workspace = workspace
        self.store = online.OnlineStore(workspace)
        self.areas = Areas(workspace, self.store)
        terms = contracts.load_contracts(CONFIGS / "contracts")
        self.keeper = consent.Keeper(workspace)
        rules = contracts.Rules.of(terms)
        self._gatherer = Gatherer(store=self.store, rules=rules, keeper=self.keeper)
        self._entrance = arrivals.Entrance(workspace, self.store, terms)
        self.marks = Marks(workspace.settings.home)
        self.mirror = Mirror(workspace.journal, workspace.clock, time.monotonic, marks=self.marks)
        self._maker = Maker(
            self._gatherer,
            workspace.journal,
            workspace.clock,
            time.monotonic,
            self.mirror,
            marks=self.marks,
        )
        self._watcher = Watcher(workspace, answers, marks=self.marks, apart=apart)
        self.watch = Watch(
            Lines(workspace.settings.log, replica=self.name), traces.open_traces(os.environ)
        )
        self.readings = Readings(self.watch.tallies, Folder.of(workspace.settings), self.name)
        self._far = Lane(self._maker.decide, time.monotonic)  # waits for other processes
        self._lane = Lane(self._make, time.monotonic)
        self._prober = Prober(self._maker, lambda: self.slots, self.marks)
        self.judge = Judge(workspace, lambda: self._watcher.under_way, holder=self.name)
        self._changes = Beat(Changes(self).look, every_s=EVERY_S, name="changes")
        self._tell_facts()
        self._warm()
        self.keeper.start()

    @property
    def name(self) -> str:
        """How this replica is called where several are told apart."""
        return self._watcher.replica[:12]

    @property
    def slots(self) -> Slots:
        """What answers now."""
        return self._watcher.current

    @property
    def watcher(self) -> Watcher:
        """What follows the active refs."""
        return self._watcher

    def submit(
        self,
        question: Question,
        notify: Callable[[Ticket], None],
        *,
        key: str | None = None,
        eyes: Principal | None = None,
    ) -> Ticket | Refusal:
        """Begin to answer; `notify` is called once, on any thread, when it is settled. `eyes` is
        who asks, if bound to some rows; its idempotency keys are its own.
        """
        slots = self.slots
        slot = slots.of(question.kind)
        if slot is None:
            return questions.no_model(question.kind, slots.missing)
        if self.workspace.journal.waiting > MOST_UNRECORDED:
            return questions.journal_busy(MOST_UNRECORDED)
        owner = None if eyes is None else eyes.subject
        ticket = Ticket(
            question=question,
            id=questions.id_of_key(key, owner) if key else uuid.uuid4().hex,
            key=key,
            eyes=eyes,
            slot=slot,
            arms=slots.arms_of(question.kind),
            at=question.as_of or self.workspace.clock(),
            notify=notify,
        )
        self._lane.put(ticket)
        return ticket

    def expire(self, ticket: Ticket) -> None:
        """Let the rules answer a ticket whose budget is spent, unless its decision is in hand."""
        if not ticket.claim():
            return
        if ticket.call:
            ticket.call.is_given_up = True
        for lane in (self._lane, self._far):
            for stuck in lane.replace_stuck(STUCK_S):
                if stuck.call:  # else it is the store that does not answer
                    stuck.call.stuck(time.monotonic())
        self._maker.fall_back(ticket, "deadline", f"still at '{ticket.stage or 'queue'}'")

    def decide(
        self, question: Question, *, key: str | None = None, deadline_ms: float = DEADLINE_MS
    ) -> Outcome:
        """Answer, and wait for it: for a caller with a thread of its own."""
        done, began = threading.Event(), time.monotonic()
        ticket = self.submit(question, lambda _: done.set(), key=key)
        if isinstance(ticket, Refusal):
            return ticket
        if not done.wait(budget_ms(deadline_ms) / 1000):
            self.expire(ticket)
            if not done.wait(began + last_ms(deadline_ms) / 1000 - time.monotonic()):
                ticket.abandon()
        return questions.overdue(deadline_ms) if ticket.outcome is None else ticket.outcome

    def arrive(
        self, body: bytes, *, is_batch: bool, eyes: Principal | None = None
    ) -> list[arrivals.Outcome] | Refusal:
        """Take in the events of a request; what is answered is durable. `eyes` is who sends them,
        if bound to some rows.
        """
        most = self.workspace.settings.serve.limits.events
        sent = arrivals.read(body, is_batch=is_batch, most=most)
        if isinstance(sent, Refusal):
            return sent
        accept = self._entrance.accept
        return accept(sent) if eyes is None else writes.taken(self.areas, eyes, sent, accept)

    def recorded(self, id: str, eyes: Principal | None = None) -> dict[str, Any] | None:
        """Return the record of a decision; None if there is none of this id for these eyes."""
        entry = self.workspace.journal.get(id)
        if entry is None or entry.kind != record.KIND:
            return None
        return entry.body if self._gatherer.shows(entry.body, eyes) else None

    def replayed(self, body: Mapping[str, Any]) -> Replayed:
        """Make the decision of a record once more."""
        return replay(self.workspace, self.store, self._gatherer.rules, body)

    def history(self, body: Mapping[str, Any]) -> History | Refusal:
        """Return the events that the decision of a record saw."""
        return past.history(self.store, self._gatherer.rules, body)

    def unready(self) -> tuple[str, ...]:
        """Return what keeps the service from answering; empty when it is ready."""
        self.workspace.refs.get("ready")  # the database answers
        return self.slots.missing

    def must_be_well(self) -> None:
        """Unwell when a new process would do better than this one."""
        self.workspace.refs.get("ready")
        if self._lane.is_spent or self._prober.is_spent:
            raise Unwell("calls of a model must return, got too many that do not: replace me")

    @property
    def queued(self) -> int:
        """How many questions wait for the lane."""
        return self._lane.waiting + self._far.waiting

    def breaker(self, slot: Slot) -> Breaker:
        """Return the breaker of the model of a slot."""
        return self._maker.breaker(slot)

    def _make(self, tickets: list[Ticket]) -> None:
        for ticket in self._maker.make(tickets):
            self._far.put(ticket)

    def begin_telling(self) -> None:
        """Keep readings for other replicas, and write lines of changes and of other modules too."""
        self.watch.lines.take_over()
        self.readings.start()
        self._changes.start()

    def begin_judging(self) -> None:
        """Judge the releases under way, unless another replica does."""
        self.judge.start()

    def _tell_facts(self) -> None:
        self.readings.add("service", lambda: facts.service(self))
        self.readings.add("slots", lambda: facts.slots(self._watcher))
        self.readings.add("fresh", lambda: facts.freshness(self, self.workspace.clock()))

    def _warm(self) -> None:
        """Read the store and sum up ids once, so that no request waits for a kernel; the slots are
        warm.
        """
        _ = [self.store.shard_of(kind, warm.KEY) for kind in questions.KINDS]
        self.store.history(warm.KEY)
        for slot in self.slots.by_kind.values():
            for history in warm.histories(slot.target):
                Seen.of(warm.KEY, history, 0)
                persons(history.parts, warm.KEY)

    def close(self) -> None:
        """Stop the threads; what is queued is not answered."""
        self.judge.close()
        self.keeper.close()
        self._watcher.close()
        self._prober.close()
        self._lane.close()
        self._far.close()
        self.mirror.close()
        self._changes.close()
        self.readings.close()
        self.watch.close()
        self.marks.close()


def budget_ms(deadline_ms: float) -> float:
    """Return how long the model has, so that what follows is done by the deadline.

    >>> budget_ms(250), budget_ms(10_000)
    (175.0, 9400.0)
    """
    return last_ms(deadline_ms) - min(RESERVE * deadline_ms, MOST_RESERVE_MS)


def last_ms(deadline_ms: float) -> float:
    """Return when an answer must be under way.

    >>> last_ms(1_000)
    970.0
    """
    return (1 - WAY_BACK) * deadline_ms
