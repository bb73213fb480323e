"""The maker: from tickets to decisions in the journal. It knows of no thread and of no deadline."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from cluster.errors import Refusal
from serving.answer import fallback, questions, record, stages
from serving.answer.breaker import Breaker, Call
from serving.answer.recorder import Made, Recorder, said
from serving.decide import Case, best
from serving.slots.elsewhere import Away
from serving.slots.inflight import during
from serving.slots.marking import of_draws

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from cluster.journal import Journal
    from features.online.store import Glance
    from serving.answer.gather import Gatherer
    from serving.answer.mirror import Mirror
    from serving.answer.record import Cause
    from serving.answer.ticket import Ticket
    from serving.slots.inflight import Marks
    from serving.slots.slot import Slot


class Maker:
    """Makes decisions and records them. Safe to share between threads."""

    def __init__(
        self,
        gatherer: Gatherer,
        journal: Journal,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        mirror: Mirror | None = None,
        *,
        marks: Marks | None = None,
    ) -> None:
        self._gatherer = gatherer
        self._marks = marks
        self._mirror = mirror
        self._recorder = Recorder(journal, gatherer)
        self._clock = clock
        self._monotonic = monotonic
        self._breakers: dict[tuple[str, str], Breaker] = {}  # by model, and where it decides

    def breaker(self, slot: Slot) -> Breaker:
        """Return the breaker of the model of a slot."""
        return self._breakers.setdefault((slot.basis.model, _where(slot)), Breaker())

    def make(self, tickets: Sequence[Ticket]) -> list[Ticket]:
        """Decide on tickets together; returns those that another process is to decide on, with
        their features: `decide` waits for it.
        """
        look = self._look(tickets)
        found = [ticket for ticket in tickets if look and self._gather(ticket, look)]
        for ticket in found:
            ticket.stage = stages.QUEUE
        self.decide([ticket for ticket in found if ticket.slot.elsewhere is None])
        return [ticket for ticket in found if ticket.slot.elsewhere is not None]

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
            ticket.settle(questions.not_recorded(said(error)))
        else:
            why = record.Fallback(cause=cause, detail=detail)
            self._recorder.decisions([Made(ticket, made, found, why)])

    def _look(self, tickets: Sequence[Ticket]) -> Glance | None:
        """Look for whom tickets are about; None if that fails, which settles them."""
        for ticket in tickets:
            ticket.lap(stages.QUEUE)
            ticket.stage = stages.FEATURES
        try:
            look = self._gatherer.look([ticket.question for ticket in tickets])
        except Exception as error:  # whatever the store says, the caller must hear of it in time
            for ticket in tickets:
                self._claimed_fall_back(ticket, "model_failed", said(error))
            return None
        for ticket in tickets:
            ticket.lap(stages.FEATURES)
        return look

    def _gather(self, ticket: Ticket, look: Glance) -> bool:
        """Find the features of a ticket; False if that settles it."""
        ticket.lap(stages.QUEUE)
        asked = ticket.slot, ticket.question, ticket.at
        try:
            found = self._gatherer.find(*asked, look, ticket.eyes)
        except Exception as error:  # as above
            self._claimed_fall_back(ticket, "model_failed", said(error))
            return False
        ticket.lap(stages.FEATURES)
        if isinstance(found, Refusal):
            if ticket.claim():
                self._refuse(ticket, found)
            return False
        if ticket.is_claimed:
            return False
        ticket.draw_arm(found)
        return True

    def decide(self, tickets: Sequence[Ticket]) -> None:
        """Decide on tickets whose features are there, those of one slot in one call."""
        for ticket in tickets:
            ticket.lap(stages.QUEUE)  # of those that were gathered with it, or of the other lane
        for _, group in groupby(sorted(tickets, key=_alike), key=_alike):
            self._decide_alike(list(group))

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
            self._failed(tickets, call, error)
        else:
            call.came_back(self._monotonic(), well=True)

    def _failed(self, tickets: list[Ticket], call: Call, error: Exception) -> None:
        """Ask for each of several alone, so that one costs no other its answer, and count those;
        unless nobody is there to ask.
        """
        is_alone = len(tickets) == 1 or isinstance(error, Away)
        again = [ticket for ticket in tickets if not is_alone and not ticket.is_claimed]
        if again:
            call.is_back = True  # and says nothing yet
        else:
            call.came_back(self._monotonic(), well=False)
        for ticket in again:
            if not ticket.is_claimed:  # else its caller has given up meanwhile
                self._decide_alike([ticket])
        for ticket in tickets:
            self._claimed_fall_back(ticket, "model_failed", said(error))

    def _ask(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            ticket.stage = stages.SCORE

        def lap(stage: str) -> None:
            for ticket in tickets:
                ticket.lap(stage)

        slot, question = tickets[0].slot, tickets[0].question
        cases = [case for ticket in tickets for case in _cases(ticket)]
        with during(self._marks, of_draws(slot, (ticket.draw for ticket in tickets))):
            decisions = slot.decide(cases, self._clock(), reasons=question.reasons, lap=lap)
        made = iter(decisions)
        mine = [(ticket, best([next(made) for _ in _cases(ticket)])) for ticket in tickets]
        claimed = [Made(ticket, each, ticket.found) for ticket, each in mine if ticket.claim()]
        self._recorder.decisions(claimed)
        if self._mirror is not None:
            for done in claimed:
                self._mirror.offer(done)

    def _refuse(self, ticket: Ticket, refused: Refusal) -> None:
        """Settle a ticket that is claimed with a refusal; one for consent is on record first."""
        if isinstance(refused, questions.Withdrawn):
            self._recorder.refusal(ticket, refused, self._clock())
        else:
            ticket.settle(refused)

    def _claimed_fall_back(self, ticket: Ticket, cause: Cause, detail: str) -> None:
        if ticket.claim():
            self.fall_back(ticket, cause, detail)


def _cases(ticket: Ticket) -> tuple[Case, ...]:
    return ticket.found.cases if ticket.found else ()


def _unseen(ticket: Ticket) -> Case:
    """Return whom a ticket is about as long as there are no features."""
    asked = ticket.question
    account = asked.key if asked.kind == "account" else None
    return Case(entity=asked.key, account=account, time=ticket.at, features={})


def _alike(ticket: Ticket) -> tuple[str, str, str, bool]:
    basis = ticket.slot.basis
    return basis.model, basis.policy, _where(ticket.slot), ticket.question.reasons


def _where(slot: Slot) -> str:
    return "" if slot.elsewhere is None else slot.elsewhere.name
