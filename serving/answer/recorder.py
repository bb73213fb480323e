"""The recorder: what was decided or refused goes into the journal, and a ticket is settled by what
became of its record.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster.journal import Conflict, Draft, Spelt
from serving.answer import questions, record, stages
from serving.answer.ticket import Answered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from cluster.access.principal import Principal
    from cluster.errors import Refusal
    from cluster.journal import Entry, Journal
    from serving.answer.gather import Found, Gatherer
    from serving.answer.record import Fallback
    from serving.answer.ticket import Outcome, Ticket
    from serving.decide import Decision

type Shows = Callable[[Mapping[str, Any], Principal | None], bool]


class Made(NamedTuple):
    """A decision on a ticket that is claimed."""

    ticket: Ticket
    decision: Decision
    found: Found | None  # what it rests on
    why: Fallback | None = None  # the rules made it in place of the model


class _Written(NamedTuple):
    """A record of a ticket, and what settles the ticket when the record is durable."""

    ticket: Ticket
    draft: Draft
    outcome: Callable[[Future[Entry]], Outcome]


class Recorder:
    """Settles tickets that are claimed, in the end. Safe to share between threads."""

    def __init__(self, journal: Journal, gatherer: Gatherer) -> None:
        self._journal = journal
        self._gatherer = gatherer

    def decisions(self, made: Sequence[Made]) -> None:
        """Record decisions, all at once: one wait for the disk, and one wake of who writes."""
        ids: set[str] = set()
        written: list[_Written] = []
        for each in made:
            again = each.ticket.id in ids
            drawn = self._drawn(each.ticket, partial(self._decision, each, is_again=again))
            if drawn is not None:
                ids.add(each.ticket.id)
                written.append(drawn)
        self._write(written)

    def refusal(self, ticket: Ticket, refused: questions.Withdrawn, now: datetime) -> None:
        """Record that consent forbade to answer; the ticket is refused when that is on record."""
        written = self._drawn(ticket, partial(_refusal, ticket, refused, now))
        if written is not None:
            self._write([written])

    def _decision(self, made: Made, *, is_again: bool) -> _Written:
        """Return the record of a decision; `is_again`: another of its key stands before it."""
        body = _record(made).body()
        draft = Draft.of(
            record.KIND,
            Spelt(record.text_of(body)),
            id=made.ticket.id,
            now=made.decision.decided_at,
        )
        answered = Answered(body=body, is_replayed=is_again)
        return _Written(
            made.ticket, draft, partial(_answer, made.ticket, answered, self._gatherer.shows)
        )

    @staticmethod
    def _drawn(ticket: Ticket, draw: Callable[[], _Written]) -> _Written | None:
        """Return the record of a ticket; None if there can be none, which settles it."""
        ticket.stage = stages.JOURNAL
        try:
            return draw()
        except Exception as error:  # nobody else will settle it: it is claimed
            ticket.settle(questions.not_recorded(said(error)))
            return None

    def _write(self, written: Sequence[_Written]) -> None:
        for each in written:  # before the journal has them: what becomes of them is told there
            each.ticket.write(each.draft.future)
            each.draft.future.add_done_callback(partial(_settle, each))
        try:
            if written:
                self._journal.append_all([each.draft for each in written])
        except Exception as error:  # as above
            for each in written:
                each.ticket.settle(questions.not_recorded(said(error)))


def said(error: Exception) -> str:
    """Return an error in words."""
    return f"{type(error).__name__}: {error}"


def _record(made: Made) -> record.Made:
    ticket, found = made.ticket, made.found
    return record.Made(
        id=ticket.id,
        question=ticket.question,
        decision=made.decision,
        seen=found.seen if found else None,
        fallback=made.why,
        request=ticket.question.digest() if ticket.key else None,
        among=found.among if found else None,
        withheld=found.withheld if found else (),
        drawn=ticket.draw if found else None,
        took_ms=ticket.took_ms,
    )


def _refusal(ticket: Ticket, refused: questions.Withdrawn, now: datetime) -> _Written:
    body = record.refused(ticket.question, refused, ticket.at, now)
    return _Written(ticket, Draft.of(record.REFUSED, body, now=now), partial(_refused, refused))


def _settle(written: _Written, done: Future[Entry]) -> None:
    """Settle a ticket by what became of its record."""
    written.ticket.lap(stages.JOURNAL)
    if done.cancelled():
        why = "one that was taken back, as nobody waits for it"
        written.ticket.settle(questions.not_recorded(why))
    else:
        written.ticket.settle(_outcome(written, done))


def _outcome(written: _Written, done: Future[Entry]) -> Outcome:
    try:
        return written.outcome(done)
    except Exception as error:  # a future keeps to itself what its callback raises
        return questions.not_recorded(said(error))


def _answer(ticket: Ticket, answered: Answered, shows: Shows, done: Future[Entry]) -> Outcome:
    error = done.exception()
    if error is None:
        return answered
    if isinstance(error, Conflict) and ticket.key:
        return _before(error.stored, answered.body["request"], ticket, shows)
    return questions.not_recorded(str(error))


def _refused(refused: Refusal, done: Future[Entry]) -> Outcome:
    error = done.exception()
    return refused if error is None else questions.not_recorded(str(error))


def _before(stored: Entry, request: str | None, ticket: Ticket, shows: Shows) -> Outcome:
    """Return the decision that the key belongs to, if it was made for the same request."""
    if stored.kind != record.KIND or stored.body["request"] != request:
        return questions.key_reused(ticket.key or "")
    if not shows(stored.body, ticket.eyes):  # it may be about another lead of the account
        return questions.unknown(ticket.question)
    return Answered(body=stored.body, is_replayed=True)
