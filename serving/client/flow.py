"""The flow of a call without its waiting: what to send, when to wait, when to give up.

A flow yields what is to be done and is sent what came of it, or is thrown the Problem; it returns
the answer or raises. The two clients only perform: one blocks, one awaits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from serving.client import errors
from serving.client.retries import PASSING

if TYPE_CHECKING:
    from serving.client.retries import Pace


@dataclass(frozen=True, kw_only=True)
class Asking:
    """A request of HTTP. It may be sent twice: it is a question, or it carries a key."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    is_retried: bool = True
    timeout_s: float | None = None  # for all attempts; None: that of the client

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, kw_only=True)
class Call[T]:
    """A request and how its answer is read."""

    asking: Asking
    read: Callable[[bytes], T]


@dataclass(frozen=True, kw_only=True)
class Send:
    """To be done: send once; comes back as an Answer, or as the exception of the transport."""

    asking: Asking
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Wait:
    """To be done: nothing, for a while."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names without regard to case
    content: bytes


DONE = (HTTPStatus.OK, HTTPStatus.ACCEPTED)

type Attempts[T] = Generator[Send | Wait, Answer | Exception | None, T]
type Flow[T] = Generator[Call[Any] | Wait, Any, T]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Under which a client makes its calls."""

    timeout_s: float
    pace: Pace
    clock: Callable[[], float]  # seconds, monotonic


def attempts[T](call: Call[T], terms: Terms) -> Attempts[T]:
    """Send a call until it is answered, refused for good, or its time is over."""
    pace, asking = terms.pace, call.asking
    total_s = asking.timeout_s or terms.timeout_s
    end = terms.clock() + total_s
    pace.budget.earn()
    retry = 0
    while True:
        left_s = max(end - terms.clock(), 1e-3)
        timeout_s = pace.attempt_s(retry, total_s=total_s, left_s=left_s)
        outcome = yield Send(asking=asking, timeout_s=timeout_s)
        if isinstance(outcome, Answer) and outcome.status in DONE:
            return _read(call, outcome)
        retry += 1
        error = _error(asking, outcome, retry)
        if not asking.is_retried or not _passes(outcome):
            raise error
        left_s = end - terms.clock()
        wait_s = pace.wait_s(retry, left_s=left_s, asked_s=error.retry_after_s)
        if wait_s is None:
            raise error
        yield Wait(seconds=wait_s)


def drive[D, R, T](flow: Generator[D, R, T], perform: Callable[[D], R]) -> T:
    """Do what a flow yields, blocking, and return what it returns; it may catch a Problem."""
    try:
        step = next(flow)
        while True:
            try:
                outcome = perform(step)
            except errors.Problem as problem:
                step = flow.throw(problem)
            else:
                step = flow.send(outcome)
    except StopIteration as done:
        answer: T = done.value
        return answer


async def adrive[D, R, T](flow: Generator[D, R, T], perform: Callable[[D], Awaitable[R]]) -> T:
    """Do what a flow yields, awaiting, and return what it returns; it may catch a Problem."""
    try:
        step = next(flow)
        while True:
            try:
                outcome = await perform(step)
            except errors.Problem as problem:
                step = flow.throw(problem)
            else:
                step = flow.send(outcome)
    except StopIteration as done:
        answer: T = done.value
        return answer


def _passes(outcome: Answer | Exception | None) -> bool:
    """Whether it may go better another time: a status that passes, or no answer."""
    return not isinstance(outcome, Answer) or outcome.status in PASSING


def _error(asking: Asking, outcome: Answer | Exception | None, tried: int) -> errors.Problem:
    if isinstance(outcome, Answer):
        return errors.of_answer(asking, outcome, tried, datetime.now(UTC))
    return errors.of_failure(asking, outcome or TimeoutError(), tried)


def _read[T](call: Call[T], answer: Answer) -> T:
    try:
        return call.read(answer.content)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in wrong["loc"]) or "body"
        raise errors.BadAnswer(
            f"{call.asking}: an answer must be what the API promises, got {place}: {wrong['msg']}:"
            " is this the decision service, and as new as this client?"
        ) from None
