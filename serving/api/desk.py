"""The desk: takes requests in on the event loop, waits for their decisions, and keeps deadlines."""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import Refusal
from serving.answer import questions, stages
from serving.answer.gate import Gate
from serving.answer.lane import TOGETHER
from serving.answer.questions import Question
from serving.answer.service import DEADLINE_MS, budget_ms, last_ms
from serving.observe import meters
from serving.wire.decisions import Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.access.principal import Principal
    from serving.answer.service import DecisionService
    from serving.answer.ticket import Outcome, Ticket
    from serving.observe.tallies import Fact
    from serving.wire.decisions import BatchRequest, DecisionRequest

BATCH_DEADLINE_MS = 10_000.0

type Waiter = asyncio.Future[Outcome | None]


class Desk:
    """For one event loop, on which all of it runs but `_wake`."""

    def __init__(self, service: DecisionService) -> None:
        self.service = service
        self.gate = Gate()
        self.limits = service.workspace.settings.serve.limits
        self._settled: deque[tuple[Waiter, Outcome]] = deque()
        self._is_woken = False
        service.readings.add("gate", self._facts)

    def _facts(self) -> Iterator[Fact]:
        yield meters.INSIDE, (), self.gate.inside
        yield meters.INSIDE_MOST, (), self.gate.most
        yield meters.SHED, (), self.gate.shed

    async def one(
        self,
        asked: DecisionRequest,
        key: str | None,
        began: float,
        eyes: Principal | None = None,
    ) -> Served:
        """Answer a request that came in at `began` (of perf_counter). `eyes` is who asks, if bound
        to some rows.
        """
        deadline_ms = float(asked.deadline_ms or DEADLINE_MS)
        parse_ms = (perf_counter() - began) * 1000
        waiting = self._begin(asked, key, deadline_ms - parse_ms, eyes)
        outcome = await waiting if isinstance(waiting, _Waiting) else waiting
        total_ms = (perf_counter() - began) * 1000
        spent = waiting.ticket.spent_ms if isinstance(waiting, _Waiting) else {}
        served = Served(outcome, {stages.PARSE: parse_ms, **spent, stages.TOTAL: total_ms})
        self.service.watch.decided(asked.kind, outcome, served.spent_ms, id=_id(waiting))
        return served

    async def many(
        self, asked: BatchRequest, eyes: Principal | None = None
    ) -> list[Outcome | Wrong]:
        """Answer the requests of a batch, in order; a few at a time, so that others get between."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (asked.deadline_ms or BATCH_DEADLINE_MS) / 1000
        found: list[Outcome | Wrong] = []
        for first in range(0, len(asked.decisions), TOGETHER):
            part = asked.decisions[first : first + TOGETHER]
            left_ms = max((end - loop.time()) * 1000, 0.0)
            found += await asyncio.gather(*(self._of_batch(each, left_ms, eyes) for each in part))
        return found

    async def _of_batch(
        self, asked: DecisionRequest | Wrong, left_ms: float, eyes: Principal | None
    ) -> Outcome | Wrong:
        if isinstance(asked, Wrong):
            return asked
        own_ms = float(asked.deadline_ms or left_ms)
        waiting = self._begin(asked, asked.idempotency_key, min(own_ms, left_ms), eyes)
        outcome = await waiting if isinstance(waiting, _Waiting) else waiting
        spent = waiting.ticket.spent_ms if isinstance(waiting, _Waiting) else {}
        self.service.watch.decided(asked.kind, outcome, spent, id=_id(waiting), is_alone=False)
        return outcome

    def _begin(
        self,
        asked: DecisionRequest,
        key: str | None,
        deadline_ms: float,
        eyes: Principal | None,
    ) -> _Waiting | Refusal:
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()

        def notify(ticket: Ticket) -> None:
            assert ticket.outcome is not None
            self._wake(loop, waiter, ticket.outcome)

        ticket = self.service.submit(question(asked), notify, key=key, eyes=eyes)
        if isinstance(ticket, Refusal):
            return ticket
        last_at = loop.time() + last_ms(deadline_ms) / 1000  # however late the budget's end is met
        waiting = _Waiting(ticket, waiter, deadline_ms, last_at)
        waiting.timer = loop.call_later(budget_ms(deadline_ms) / 1000, self._expire, waiting)
        return waiting

    def _expire(self, waiting: _Waiting) -> None:
        """Let the rules answer, and wait for the journal until nothing can be in time."""
        loop = asyncio.get_running_loop()
        waiting.timer = loop.call_at(waiting.last_at, _abandon, waiting.ticket, waiting.waiter)
        self.service.expire(waiting.ticket)

    def _wake(self, loop: asyncio.AbstractEventLoop, waiter: Waiter, outcome: Outcome) -> None:
        """Hand an outcome to the loop, from any thread: one call for all that come together."""
        self._settled.append((waiter, outcome))
        if not self._is_woken:
            self._is_woken = True
            loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._is_woken = False  # before the look: what comes now wakes again
        while self._settled:
            _settle(*self._settled.popleft())


class Served(NamedTuple):
    """An outcome, and where the time went."""

    outcome: Outcome
    spent_ms: dict[str, float]


class _Waiting:
    """A request under way; awaiting it gives its outcome."""

    __slots__ = ("deadline_ms", "last_at", "ticket", "timer", "waiter")

    def __init__(self, ticket: Ticket, waiter: Waiter, deadline_ms: float, last_at: float) -> None:
        self.ticket = ticket
        self.waiter = waiter
        self.timer: asyncio.TimerHandle | None = None  # of what comes next if nothing does
        self.deadline_ms = deadline_ms
        self.last_at = last_at  # of the loop's clock

    def __await__(self):  # type: ignore[no-untyped-def]
        outcome = yield from self.waiter.__await__()
        if self.timer is not None:
            self.timer.cancel()
        return questions.overdue(self.deadline_ms) if outcome is None else outcome


def question(asked: DecisionRequest) -> Question:
    """Return a request in the words of the service."""
    return Question(
        kind=asked.kind,
        key=asked.key,
        as_of=asked.as_of,
        events=tuple(each.model_dump() for each in asked.events) if asked.events else (),
        reasons=asked.reasons,
    )


def _id(waiting: _Waiting | Refusal) -> str | None:
    return waiting.ticket.id if isinstance(waiting, _Waiting) else None


def _abandon(ticket: Ticket, waiter: Waiter) -> None:
    """Answer that nothing is durable in time, and let nothing become so later if that may be."""
    _settle(waiter, None)
    ticket.abandon()


def _settle(waiter: Waiter, outcome: Outcome | None) -> None:
    if not waiter.done():
        waiter.set_result(outcome)
