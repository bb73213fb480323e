"""Questions: about whom, as of when, and what the caller knows beyond the log. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cluster import canonical, schema
from cluster.errors import Refusal

if TYPE_CHECKING:
    from features.consent import Word

KINDS = ("lead", "opportunity", "account")  # of whom one may ask


class Unknown(Refusal):
    """Nobody of this id was ever seen."""


class NoModel(Refusal):
    """No model answers for this kind of entity yet."""


class KeyReused(Refusal):
    """The idempotency key belongs to another request."""


class NotRecorded(Refusal):
    """The journal took no record of the decision, or not in time."""


@dataclass(frozen=True, kw_only=True)
class Withdrawn(Refusal):
    """A person forbade to be scored."""

    word: Word
    withheld: tuple[str, ...]  # the leads that are theirs


class Unchecked(Refusal):
    """It cannot be found out in time what persons forbade."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """About whom, as of when, and what the caller knows beyond the log."""

    kind: str  # lead, opportunity or account
    key: str
    as_of: datetime | None = None  # None: now
    events: tuple[Mapping[str, Any], ...] = ()
    reasons: bool = True  # are they wanted?

    def said(self) -> dict[str, Any]:
        """Return the question as plain JSON values, times in UTC."""
        return {
            "kind": self.kind,
            "key": self.key,
            "as_of": spelt(self.as_of) if self.as_of else None,
            "events": events_said(self.events),
            "reasons": self.reasons,
        }

    def digest(self) -> str:
        """Return what is equal for equal questions."""
        return canonical.digest(self.said())


def events_said(events: tuple[Mapping[str, Any], ...]) -> list[dict[str, Any]]:
    """Return events of a request as plain JSON values."""
    return [{**each, "event_time": spelt(each["event_time"])} for each in events]


def events_read(said: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return the events of a request from what `events_said` gave."""
    return tuple(
        {**each, "event_time": datetime.fromisoformat(each["event_time"])} for each in said
    )


def id_of_key(key: str, owner: str | None = None) -> str:
    """Return the id of the decision that an idempotency key belongs to; keys of an owner are its
    own, all others share them.

    >>> id_of_key("order-7")
    '1d6d4fa74312d2f747f983a77eda31dc'
    """
    named = key if owner is None else f"{owner}\0{key}"
    return canonical.sha256_hex(b"decision\0" + named.encode())[:32]


def unknown(question: Question) -> Unknown:
    """Refuse a question about somebody who was never seen."""
    return Unknown(
        rule=f"the {question.kind} must be in the event log",
        value=f"'{question.key}'",
        remedy="ingest its events, or check the id",
    )


def not_open(question: Question, at: datetime) -> Refusal:
    """Refuse a question about somebody who is not there at T."""
    what = "an open lead" if question.kind == "account" else f"a {question.kind} created"
    return Refusal(
        rule=f"there must be {what} by {spelt(at)}",
        value=f"none for '{question.key}'",
        remedy="ask as of a later time",
    )


def withdrawn(question: Question, word: Word, withheld: tuple[str, ...]) -> Withdrawn:
    """Refuse a question about somebody who forbade to be scored."""
    said = spelt(schema.moment(word.event_time))
    return Withdrawn(
        rule=f"whoever is behind a {question.kind} must allow to be scored",
        value=f"'{word.name}' for '{word.purpose}' of {said}",
        remedy="leave them alone, until they say otherwise",
        word=word,
        withheld=withheld,
    )


def unchecked(why: str) -> Unchecked:
    """Refuse a question as it is not known what persons forbade."""
    return Unchecked(rule="it must be known who allows to be scored", value=why, remedy="ask again")


def not_before(event: Mapping[str, Any], at: datetime) -> Refusal:
    """Refuse an event of a request that does not lie before T."""
    return Refusal(
        rule=f"an event must lie before the decision's time {spelt(at)}",
        value=spelt(event["event_time"]),
        remedy="leave it out, or ask as of a later time",
    )


def no_model(kind: str, missing: tuple[str, ...]) -> NoModel:
    """Refuse a question for whose kind nothing answers."""
    return NoModel(
        rule=f"a model must answer for '{kind}'",
        value="; ".join(missing) or "none configured",
        remedy="train and publish one: the service takes it up by itself",
    )


def key_reused(key: str) -> KeyReused:
    """Refuse a request whose idempotency key belongs to another one."""
    return KeyReused(
        rule="an idempotency key must name one request for ever",
        value=f"'{key}' of another request",
        remedy="choose a new key",
    )


def overdue(deadline_ms: float) -> NotRecorded:
    """Refuse a request whose record did not become durable in time."""
    return NotRecorded(
        rule=f"the record must be durable within {deadline_ms:.0f} ms",
        value="one that is not yet",
        remedy="ask again with the same idempotency key",
    )


def not_recorded(cause: str) -> NotRecorded:
    """Refuse a request whose record the journal did not take."""
    return NotRecorded(
        rule="a decision must be durable before it is answered",
        value=cause,
        remedy="ask again with the same idempotency key",
    )


def journal_busy(most: int) -> NotRecorded:
    """Refuse a request at once, as its record would wait behind too many."""
    return NotRecorded(
        rule=f"at most {most} records may wait for the journal",
        value="more",
        remedy="ask again later, with the same idempotency key",
    )


def spelt(time: datetime) -> str:
    """Return a time in UTC, ISO 8601."""
    return time.astimezone(UTC).isoformat()
