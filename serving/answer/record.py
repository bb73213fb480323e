"""The record of a decision: what the journal keeps, so that it can be explained and made again.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, Self

import orjson

from cluster import schema
from serving.answer.questions import Question, events_read, events_said, spelt
from serving.answer.seen import Seen
from serving.decide import Basis
from serving.slots.active import Draw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.answer.questions import Withdrawn
    from serving.decide import Decision
    from serving.policy import Verdict

FORMAT = 2
KIND = "decision"  # of a journal entry
REFUSED = "decision.refused"  # of the entry of a question that consent forbade to answer
SCORES = ("margin", "probability", "low", "high")

type Cause = Literal["deadline", "breaker_open", "model_failed"]


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """Why the rules answered in place of the model."""

    cause: Cause
    detail: str


@dataclass(frozen=True, kw_only=True)
class Made:
    """A decision with all that it was made from."""

    id: str
    question: Question
    decision: Decision
    seen: Seen | None  # None: a fallback that came before the features
    fallback: Fallback | None = None
    request: str | None = None  # digest of the question, where an idempotency key names it
    among: tuple[str, ...] | None = None  # whom it was chosen from, if not from all
    withheld: tuple[str, ...] = ()  # leads of the account that were left out: consent
    drawn: Draw | None = None  # in a release under way
    took_ms: float = 0.0  # until now, told in a release

    def body(self) -> dict[str, Any]:
        """Return the record: plain JSON values."""
        made = self.decision
        return {
            "format": FORMAT,
            "id": self.id,
            "kind": self.question.kind,
            "key": self.question.key,
            "as_of": spelt(self.question.as_of) if self.question.as_of else None,
            "events": events_said(self.question.events),
            "entity": made.entity,
            "account": made.account,
            "time": spelt(made.time),
            "decided_at": spelt(made.decided_at),
            "seen": dict(vars(self.seen)) if self.seen else None,
            "features": dict(made.features),
            "points": made.points,
            "margin": made.margin,
            "probability": made.probability,
            "low": made.low,
            "high": made.high,
            "verdict": _verdict(made.verdict),
            "reasons": None if made.reasons is None else [_reason(each) for each in made.reasons],
            "basis": dict(vars(made.basis)),
            "fallback": dict(vars(self.fallback)) if self.fallback else None,
            "request": self.request,
            **({} if self.among is None else {"among": list(self.among)}),
            **({"withheld": list(self.withheld)} if self.withheld else {}),
            **({} if self.drawn is None else {"release": self._release(self.drawn)}),
        }

    def _release(self, drawn: Draw) -> dict[str, Any]:
        return {**vars(drawn), "took_ms": round(self.took_ms, 3)}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a record says that a decision was made from."""

    id: str
    question: Question
    time: datetime
    decided_at: datetime
    seen: Seen | None
    features: Mapping[str, Any]
    entity: str
    account: str | None
    basis: Basis
    fallback: Fallback | None
    request: str | None
    among: tuple[str, ...] | None
    withheld: tuple[str, ...]
    drawn: Draw | None
    took_ms: float

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read a record of this format; KeyError or ValueError for another."""
        if body["format"] != FORMAT:
            raise ValueError(f"a record must be of format {FORMAT}, got {body['format']}")
        return cls(
            id=body["id"],
            question=Question(
                kind=body["kind"],
                key=body["key"],
                as_of=_moment(body["as_of"]),
                events=events_read(body["events"]),
                reasons=body["reasons"] is not None,
            ),
            time=datetime.fromisoformat(body["time"]),
            decided_at=datetime.fromisoformat(body["decided_at"]),
            seen=Seen(**body["seen"]) if body["seen"] else None,
            features=body["features"],
            entity=body["entity"],
            account=body["account"],
            basis=Basis(**body["basis"]),
            fallback=Fallback(**body["fallback"]) if body["fallback"] else None,
            request=body["request"],
            among=tuple(body["among"]) if "among" in body else None,
            withheld=tuple(body.get("withheld", ())),
            **_drawn(body.get("release")),
        )


def refused(question: Question, refusal: Withdrawn, at: datetime, now: datetime) -> dict[str, Any]:
    """Return what the journal keeps of a question that consent forbade to answer: who asked about
    whom, and whose word counts. There is neither a feature nor a score.
    """
    word = refusal.word
    return {
        "kind": question.kind,
        "key": question.key,
        "as_of": spelt(question.as_of) if question.as_of else None,
        "time": spelt(at),
        "refused_at": spelt(now),
        "cause": "consent",
        "word": {
            "event": word.id if word.row else None,  # None: an event of the request
            "name": word.name,
            "purpose": word.purpose,
            "event_time": spelt(schema.moment(word.event_time)),
        },
        "withheld": list(refusal.withheld),
    }


def text_of(body: dict[str, Any]) -> str:
    """Return a record as JSON: keys sorted, no spaces, the shortest floats that read back equal.

    ValueError for a score that is not finite. It is spelt in a tenth of the time that
    cluster.canonical takes, and otherwise only in the exponents of floats.
    """
    if not all(map(isfinite, (body[name] for name in SCORES))):
        raise ValueError("JSON holds finite numbers alone, got a score that is none")
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict; of exploration only where the policy explores, as in records of old."""
    said = {**vars(verdict), "trace": list(verdict.trace)}
    exploration = said.pop("exploration")
    return said if exploration is None else {**said, "exploration": dict(vars(exploration))}


def _drawn(said: Mapping[str, Any] | None) -> dict[str, Any]:
    if said is None:
        return {"drawn": None, "took_ms": 0.0}
    return {
        "drawn": Draw(**{name: each for name, each in said.items() if name != "took_ms"}),
        "took_ms": said["took_ms"],
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _reason(reason: object) -> dict[str, Any]:
    said = vars(reason)
    return {**said, "features": list(said["features"])}
