"""The ticket of one request on its way: who may settle it, how far it came, and what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cluster.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from datetime import datetime

    from cluster.access.principal import Principal
    from cluster.journal import Entry
    from serving.answer.breaker import Call
    from serving.answer.gather import Found
    from serving.answer.questions import Question
    from serving.slots.active import Arms, Draw
    from serving.slots.slot import Slot


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A decision that is durable."""

    body: dict[str, Any]  # its record
    is_replayed: bool = False  # an earlier request of the same idempotency key made it


type Outcome = Answered | Refusal


@dataclass(kw_only=True)
class Ticket:
    """One request. Whoever claims it makes its decision; it is settled once."""

    question: Question
    id: str  # of the decision
    key: str | None  # of idempotency
    slot: Slot  # that answers; of a release under way what its account draws
    at: datetime  # T
    notify: Callable[[Ticket], None]  # called once when it is settled, on any thread
    eyes: Principal | None = None  # who asks, if bound to some rows
    arms: Arms | None = None  # of the release under way
    draw: Draw | None = None  # what the account drew, once it is known
    found: Found | None = None  # the features, once they are there
    stage: str = ""  # in which it is
    call: Call | None = None  # of its model, once it is made
    writing: Future[Entry] | None = None  # its record, once the journal has it
    is_abandoned: bool = False  # was the caller told that it came to nothing?
    outcome: Outcome | None = None
    spent_ms: dict[str, float] = field(default_factory=dict)  # by stage
    _began: float = field(default_factory=perf_counter)
    _since: float = field(default_factory=perf_counter)
    _claim: Lock = field(default_factory=Lock)

    def claim(self) -> bool:
        """Take the decision in hand; False if another has."""
        return self._claim.acquire(blocking=False)

    @property
    def is_claimed(self) -> bool:
        """Has somebody taken the decision in hand?"""
        return self._claim.locked()

    def draw_arm(self, found: Found) -> None:
        """Take in what it rests on, and draw for the account: what answers it is settled by that.

        Whom a question is about stands for an account that is not known.
        """
        if self.arms is not None and self.arms.is_for(found.cases[0].features):
            slot, self.draw = self.arms.draw(found.seen.shard)
            self.slot = slot or self.slot
        self.found = found  # last: whoever sees it sees what was drawn

    def lap(self, stage: str) -> None:
        """Note the end of a stage, and so what it took; a stage may come in pieces."""
        now = perf_counter()
        self.spent_ms[stage] = self.spent_ms.get(stage, 0.0) + (now - self._since) * 1000
        self._since = now

    @property
    def took_ms(self) -> float:
        """How long it took so far."""
        return (perf_counter() - self._began) * 1000

    def settle(self, outcome: Outcome) -> None:
        """Give the outcome; only the first counts."""
        if self.outcome is None:
            self.outcome = outcome
            self.notify(self)

    def write(self, writing: Future[Entry]) -> None:
        """Note what becomes of its record."""
        self.writing = writing
        if self.is_abandoned:
            writing.cancel()

    def abandon(self) -> None:
        """Take its record back if the journal has not begun to write it: no caller waits for it."""
        self.is_abandoned = True  # before the look: what is written from now on looks there
        if self.writing:
            self.writing.cancel()
