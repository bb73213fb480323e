"""Who may not be decided on: what persons forbade, in the log, in what arrived and in the request.

Only leads are persons here; a deal is its company's. A grant in a request lifts nothing: sent as an
event of its own it is on record, and counts within a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from cluster import schema
from features.consent import KIND, Keeper, Unchecked, Word
from features.consent.terms import ALL
from features.online.history import has_text
from features.online.payload import Unpacked
from serving.answer import questions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cluster.errors import Refusal
    from features.consent import Ledger, Terms
    from features.online.history import History, Part
    from serving.answer.questions import Question
    from serving.decide import Case

LEAD = "lead"
STALE_S = 1.0  # age of a look at consent behind which a fallback tells nobody anything


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Whom a question may be answered about."""

    cases: tuple[Case, ...]
    withheld: tuple[str, ...] = ()  # leads that were left out


def allowed(
    keeper: Keeper, question: Question, history: History, cases: tuple[Case, ...]
) -> Allowed | Refusal:
    """Return the cases (leads, at least one) that nobody forbade; Withdrawn if none is left."""
    try:
        ledger = keeper.current()
    except Unchecked as error:
        return questions.unchecked(str(error))
    own = of_request(question, ledger.terms)
    words = {each.entity: _forbids(ledger, question, history, each.entity, own) for each in cases}
    kept = tuple(each for each in cases if words[each.entity] is None)
    out = tuple(sorted(entity for entity, word in words.items() if word is not None))
    if kept:
        return Allowed(cases=kept, withheld=out)
    word = next(word for word in words.values() if word is not None)
    return questions.withdrawn(question, word, out)


def unseen(keeper: Keeper, question: Question) -> Refusal | None:
    """Return why nothing may be said about whom nothing was read yet; None if it may.

    It asks no disk: it is for those who have no time.
    """
    if question.kind != LEAD:
        return None  # an answer about a company, of which no person is known
    if keeper.age_s > STALE_S:
        return questions.unchecked(f"a look that is {keeper.age_s:.1f} s old")
    ledger = keeper.ledger
    word = ledger.of_lead(question.key) or next(iter(of_request(question, ledger.terms)), None)
    if word is not None:
        return questions.withdrawn(question, word, (question.key,))
    return None if ledger.knows(question.key) else questions.unchecked("a lead that is new to it")


def of_request(question: Question, terms: Terms) -> Sequence[Word]:
    """Return the words that stop scoring among the events of a question."""
    return [
        Word(
            row=0,  # it is in no log
            content=0,
            known_at=schema.micros(each["event_time"]),
            event_time=schema.micros(each["event_time"]),
            name=each["name"],
            purpose=each.get("text") or ALL,
            person=each.get("person"),
            lead=each.get("lead"),
        )
        for each in question.events
        if each["kind"] == KIND
        and each["name"] in terms.stops
        and terms.counts(each["name"], each.get("text"))
    ]


def _forbids(
    ledger: Ledger, question: Question, history: History, lead: str, own: Sequence[Word]
) -> Word | None:
    """Return the word for which nothing may be said about a lead."""
    if (word := ledger.of_lead(lead)) is not None:
        return word
    late = [part for part in history.parts if isinstance(part, Unpacked)]
    if late and ledger.people:
        named = (ledger.people.get(person) for person in persons(late, lead))
        if word := next((word for word in named if word is not None), None):
            return word
    return _own(question, history, lead, own) if own else None


def _own(question: Question, history: History, lead: str, own: Sequence[Word]) -> Word | None:
    named = persons(history.parts, lead)

    def concerns(word: Word) -> bool:
        if word.lead is not None or question.kind != LEAD:
            return word.lead == lead or word.person in named
        return True  # somebody's word beside a question about one lead

    return next(filter(concerns, own), None)


def persons(parts: Iterable[Part], lead: str) -> set[str]:
    """Return who is named beside a lead."""
    found: set[str] = set()
    for part in parts:
        codes = part.codes("person")[has_text(part, LEAD, lead)]
        texts = part.texts("person").take(pa.array(codes[codes >= 0]))
        found.update(texts.to_pylist())
    return found
