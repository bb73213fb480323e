"""The maker: from tickets to decisions in the journal. It knows of no thread and of no deadline."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from cluster import journal
from cluster.errors import Refusal
from serving.answer import fallback, questions, record, stages
from serving.answer.breaker import Breaker, Call
from serving.answer.ticket import Answered
from serving.decide import Case, best, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from cluster.access.principal import Principal
    from cluster.journal import Entry, Journal
    from serving.answer.gather import Found, Gatherer
    from serving.answer.record import Cause, Fallback
    from serving.answer.ticket import Ticket
    from serving.decide import Decision
    from serving.slots.slot import Slot


type Shows = Callable[[Mapping[str, Any], Principal | None], bool]


class Maker:
    """Makes decisions and records them. Safe to share between threads."""

    def __init__(
        self,
        gatherer: Gatherer,
        journal: Journal,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._gatherer = gatherer
        self._journal = journal
        self._clock = clock
        self._monotonic = monotonic
        self._breakers: dict[str, Breaker] = {}  # by model

    def breaker(self, slot: Slot) -> Breaker:
        """Return the breaker of the model of a slot."""
        return self._breakers.setdefault(slot.basis.model, Breaker())

    def make(self, tickets: Sequence[Ticket]) -> None:
        """Decide on tickets together, those of one slot in one call of its model."""
        found = [ticket for ticket in tickets if self._gather(ticket)]
        for ticket in found:
            ticket.lap(stages.QUEUE)  # those that were gathered with it
        for _, group in groupby(sorted(found, key=_alike), key=_alike):
            self._decide_alike(list(group))

    def fall_back(self, ticket: Ticket, cause: Cause, detail: str) -> None:
        """Let the rules answer a ticket that is claimed by the caller, who settles it by that."""
        found = ticket.found  # read once: another thread may set it meanwhile
        if found is None and ticket.eyes is not None:
            ticket.settle(questions.not_recorded("its row is not looked at yet"))
            return
        refused = None if found else self._gatherer.unseen(ticket.question)
        if refused is not None:
            self._refuse(ticket, refused)
            return
        cases = found.cases if found else (_unseen(ticket),)
        reasons = ticket.question.reasons
        try:
            made = fallback.decision(
                ticket.slot, cases, self._clock(), cause=cause, reasons=reasons
            )
        except Exception as error:  # nobody else will settle it: it is claimed
            ticket.settle(questions.not_recorded(_said(error)))
        else:
            self._record(ticket, made, found, record.Fallback(cause=cause, detail=detail))

    def _gather(self, ticket: Ticket) -> bool:
        """Find the features of a ticket; False if that settles it."""
        ticket.lap(stages.QUEUE)
        ticket.stage = stages.FEATURES
        try:
            found = self._gatherer.find(ticket.slot, ticket.question, ticket.at, ticket.eyes)
        except Exception as error:  # whatever the store says, the caller must hear of it in time
            self._claimed_fall_back(ticket, "model_failed", _said(error))
            return False
        ticket.lap(stages.FEATURES)
        if isinstance(found, Refusal):
            if ticket.claim():
                self._refuse(ticket, found)
            return False
        if ticket.is_claimed:
            return False
        ticket.found = found
        return True

    def _decide_alike(self, tickets: list[Ticket]) -> None:
        """Decide on tickets of one slot that all want reasons, or all do not."""
        breaker = self.breaker(tickets[0].slot)
        if breaker.is_open:
            for ticket in tickets:
                self._claimed_fall_back(ticket, "breaker_open", "the model does not answer")
            return
        call = Call(breaker=breaker, began=self._monotonic())
        for ticket in tickets:
            ticket.call = call
        try:
            self._ask(tickets)
        except Exception as error:  # a model may raise anything, and the rules do not need it
            call.came_back(self._monotonic(), well=False)
            for ticket in tickets:
                self._claimed_fall_back(ticket, "model_failed", _said(error))
        else:
            call.came_back(self._monotonic(), well=True)

    def _ask(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            ticket.stage = stages.SCORE

        def lap(stage: str) -> None:
            for ticket in tickets:
                ticket.lap(stage)

        slot, question = tickets[0].slot, tickets[0].question
        cases = [case for ticket in tickets for case in _cases(ticket)]
        made = iter(
            decide(
                slot.model,
                slot.policy,
                cases,
                self._clock(),
                basis=slot.basis,
                reasons=question.reasons,
                lap=lap,
            )
        )
        for ticket in tickets:
            mine = [next(made) for _ in _cases(ticket)]
            if ticket.claim():
                self._record(ticket, best(mine), ticket.found)

    def _claimed_fall_back(self, ticket: Ticket, cause: Cause, detail: str) -> None:
        if ticket.claim():
            self.fall_back(ticket, cause, detail)

    def _refuse(self, ticket: Ticket, refused: Refusal) -> None:
        """Settle a ticket that is claimed with a refusal; one for consent is on record first."""
        if not isinstance(refused, questions.Withdrawn):
            ticket.settle(refused)
            return
        ticket.stage = stages.JOURNAL
        now = self._clock()
        body = record.refused(ticket.question, refused, ticket.at, now)
        try:
            future = self._journal.append(record.REFUSED, body, now=now)
        except Exception as error:  # nobody else will settle it: it is claimed
            ticket.settle(questions.not_recorded(_said(error)))
        else:
            ticket.write(future)
            future.add_done_callback(partial(_settle_refused, ticket, refused))

    def _record(
        self, ticket: Ticket, decision: Decision, found: Found | None, why: Fallback | None = None
    ) -> None:
        """Let the journal keep a decision, and settle its ticket when it has."""
        ticket.stage = stages.JOURNAL
        try:
            body = _made(ticket, decision, found, why).body()
            spelt = journal.Spelt(record.text_of(body))
            future = self._journal.append(record.KIND, spelt, id=ticket.id, now=decision.decided_at)
        except Exception as error:  # nobody else will settle it: it is claimed
            ticket.settle(questions.not_recorded(_said(error)))
        else:
            ticket.write(future)
            future.add_done_callback(partial(_settle, ticket, body, self._gatherer.shows))


def _made(
    ticket: Ticket, decision: Decision, found: Found | None, why: Fallback | None
) -> record.Made:
    return record.Made(
        id=ticket.id,
        question=ticket.question,
        decision=decision,
        seen=found.seen if found else None,
        fallback=why,
        request=ticket.question.digest() if ticket.key else None,
        among=found.among if found else None,
        withheld=found.withheld if found else (),
    )


def _settle(ticket: Ticket, body: dict[str, Any], shows: Shows, done: Future[Entry]) -> None:
    """Settle a ticket by what became of its record."""
    ticket.lap(stages.JOURNAL)
    if done.cancelled():
        ticket.settle(questions.not_recorded("one that was taken back, as nobody waits for it"))
        return
    error = done.exception()
    if error is None:
        ticket.settle(Answered(body=body))
    elif isinstance(error, journal.Conflict) and ticket.key:
        ticket.settle(_before(error.stored, body["request"], ticket, shows))
    else:
        ticket.settle(questions.not_recorded(str(error)))


def _settle_refused(ticket: Ticket, refused: Refusal, done: Future[Entry]) -> None:
    """Settle a ticket by what became of the record that it was refused."""
    ticket.lap(stages.JOURNAL)
    error = None if done.cancelled() else done.exception()
    ticket.settle(refused if error is None else questions.not_recorded(str(error)))


def _before(stored: Entry, request: str | None, ticket: Ticket, shows: Shows) -> Answered | Refusal:
    """Return the decision that the key belongs to, if it was made for the same request."""
    if stored.kind != record.KIND or stored.body["request"] != request:
        return questions.key_reused(ticket.key or "")
    if not shows(stored.body, ticket.eyes):  # it may be about another lead of the account
        return questions.unknown(ticket.question)
    return Answered(body=stored.body, is_replayed=True)


def _cases(ticket: Ticket) -> tuple[Case, ...]:
    return ticket.found.cases if ticket.found else ()


def _unseen(ticket: Ticket) -> Case:
    """Return whom a ticket is about as long as there are no features."""
    asked = ticket.question
    account = asked.key if asked.kind == "account" else None
    return Case(entity=asked.key, account=account, time=ticket.at, features={})


def _alike(ticket: Ticket) -> tuple[str, bool]:
    return ticket.slot.basis.model, ticket.question.reasons


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
