"""An open-loop load generator: requests leave at their scheduled times, whatever is answered.

Latency counts from the scheduled time, so that a service that stalls is charged for everything that
waited meanwhile (no coordinated omission, as Tene 2013 asks). One process, one event loop. A run in
which the generator itself was late is void, and says so.

    python -m tests.bench.load --url http://127.0.0.1:8000/v1/decisions --rate 200 --seconds 10 \
        --bodies bodies.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import pickle
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.bench import load_wire
from tests.bench.load_plan import Plan, request, schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Answer", "Latency", "Plan", "Result", "apart", "request", "run", "schedule"]

try:
    import uvloop

    _run = uvloop.run
except ImportError:  # a third more processor time
    _run = asyncio.run

ROOT = Path(__file__).parents[2]
LAG_MS = 5.0  # p99 of the generator's own lateness above which a run is void
UNANSWERED = "unanswered"  # kind of error: nothing came in time
FIRST = 32  # connections opened before the first request


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for one request."""

    number: int
    status: int  # 0: no answer
    error: str  # its kind, empty when answered
    ms: float  # since the scheduled time
    at: float  # seconds since the first request was scheduled, when it was heard
    head: bytes
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Of answers of one status, or of all; None where none came."""

    count: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run showed; requests of the warm-up are not in it."""

    offered: int  # requests that were scheduled
    sent: int  # fewer only when it gave up
    rate: float  # of those sent, per second
    statuses: dict[int, int]
    errors: dict[str, int]  # by kind
    good: int  # 200 within the time
    share: float  # of those offered
    p50_ms: float | None  # of all that were sent; what is unanswered counts as endless: None
    p99_ms: float | None
    max_ms: float | None
    by_status: dict[int, Latency]
    cpu: float  # of one core, used by this process
    lag_p99_ms: float  # how late requests left
    connections: int
    gave_up: bool
    void: str | None  # why the figures do not count
    warmup_statuses: dict[int, int]
    samples: tuple[Answer, ...] = field(repr=False, default=())

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON, without the samples."""
        return {k: v for k, v in asdict(self).items() if k != "samples"}


def run(plan: Plan, hear: Callable[[Answer], None] | None = None) -> Result:
    """Send in this process; `hear` is told every answer, those of the warm-up too."""
    return _run(_Load(plan, hear).run())


def apart(plan: Plan) -> Result:
    """Send from a process of its own."""
    code = "from tests.bench import load; load.piped()"
    sent = pickle.dumps(plan)
    done = subprocess.run([sys.executable, "-c", code], input=sent, cwd=ROOT, capture_output=True)
    if done.returncode:
        raise SystemExit(f"the generator must end well: {done.stderr.decode()[-800:]}")
    found = pickle.loads(done.stdout)
    assert isinstance(found, Result)
    return found


def piped() -> None:
    """Read a pickled plan from the input, write the pickled result: the other end of `apart`."""
    plan = pickle.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(pickle.dumps(run(plan)))


class _Load:
    """One run."""

    def __init__(self, plan: Plan, hear: Callable[[Answer], None] | None) -> None:
        self._plan, self._hear = plan, hear
        self._due = schedule(plan)
        self._from = sum(at < plan.warmup for at in self._due)  # the first that counts
        self._allowed = math.inf
        if plan.give_up is not None:
            self._allowed = plan.give_up * (len(self._due) - self._from)
        self._request = request(plan)
        self._lags: list[float] = []
        self._taken: dict[int, list[float]] = {}  # milliseconds by status
        self._errors: Counter[str] = Counter()
        self._warm: Counter[int] = Counter()
        self._samples: list[Answer] = []
        self._next = self._heard = self._bad = 0

    async def run(self) -> Result:
        where, done = urlsplit(self._plan.url), asyncio.Event()
        assert where.hostname
        self._done = done
        self._pool = load_wire.Pool(
            where.hostname, where.port or 80, self._plan.most, self._answered
        )
        for _ in range(min(FIRST, self._plan.most)):
            self._pool.grow()
        await self._pool.ready()
        self._clock = load_wire.Clock(self._tick)
        gc.collect()
        gc.disable()
        self._zero = began = time.monotonic() + 0.05
        used = _cpu()
        self._clock.at(began)
        await done.wait()
        await self._rest()
        cpu = (_cpu() - used) / (time.monotonic() - began)
        self._clock.close()
        self._pool.close()
        gc.enable()
        return self._result(cpu)

    def _tick(self) -> None:
        """Send all that is due, and wake for the next."""
        due, count = self._due, len(self._due)
        if self._bad > self._allowed:
            self._done.set()
            return
        while self._next < count:
            late = time.monotonic() - self._zero - due[self._next]
            if late < 0:
                self._clock.at(self._zero + due[self._next])
                return
            number = self._next
            self._next += 1
            if number >= self._from:
                self._lags.append(late)
            self._pool.send(number, self._request(number))
        self._done.set()

    async def _rest(self) -> None:
        """Wait for answers that are still missing."""
        until = time.monotonic() + self._plan.patience
        while self._heard < self._next and time.monotonic() < until:
            await asyncio.sleep(0.005)

    def _answered(self, number: int, status: int, error: str, head: bytes, body: bytes) -> None:
        now = time.monotonic() - self._zero
        taken = now - self._due[number]
        self._heard += 1
        if number < self._from:
            self._warm[status] += 1
        else:
            self._count(status, error, taken)
        sample = self._plan.sample
        if self._hear or (sample and number >= self._from and number % sample == 0):
            answer = Answer(number=number, status=status, error=error, ms=taken * 1e3, at=now,
                            head=head, body=body)  # fmt: skip
            if self._hear:
                self._hear(answer)
            else:
                self._samples.append(answer)

    def _count(self, status: int, error: str, taken: float) -> None:
        if error:
            self._errors[error] += 1
        else:
            self._taken.setdefault(status, []).append(taken * 1e3)
        self._bad += status != 200 or taken > self._plan.within

    def _result(self, cpu: float) -> Result:
        plan, offered = self._plan, len(self._due) - self._from
        sent = max(self._next - self._from, 0)
        answered = sum(len(taken) for taken in self._taken.values())
        missing = sent - answered - self._errors.total()
        if missing:
            self._errors[UNANSWERED] += missing
        everything = sorted(ms for taken in self._taken.values() for ms in taken)
        everything += [math.inf] * (sent - answered)
        good = sum(ms <= plan.within * 1e3 for ms in self._taken.get(200, ()))
        lag = percentile(sorted(self._lags), 0.99) or 0.0
        return Result(
            offered=offered,
            sent=sent,
            rate=round(sent / plan.seconds, 2),
            statuses={status: len(taken) for status, taken in sorted(self._taken.items())},
            errors=dict(self._errors),
            good=good,
            share=good / max(offered, 1),
            p50_ms=percentile(everything, 0.50),
            p99_ms=percentile(everything, 0.99),
            max_ms=percentile(everything, 1.0),
            by_status={status: latency(taken) for status, taken in sorted(self._taken.items())},
            cpu=round(cpu, 3),
            lag_p99_ms=round(lag * 1e3, 3),
            connections=self._pool.opened,
            gave_up=sent < offered,
            void=_void(lag * 1e3),
            warmup_statuses=dict(self._warm),
            samples=tuple(self._samples),
        )


def latency(taken: Sequence[float]) -> Latency:
    """Sum up milliseconds."""
    inorder = sorted(taken)
    p50, p99, most = (percentile(inorder, share) for share in (0.5, 0.99, 1.0))
    return Latency(count=len(inorder), p50_ms=p50, p99_ms=p99, max_ms=most)


def percentile(inorder: Sequence[float], share: float) -> float | None:
    """Return the smallest value that `share` of all do not exceed; None for none, or endless."""
    if not inorder:
        return None
    found = inorder[max(math.ceil(share * len(inorder)) - 1, 0)]
    return round(found, 4) if math.isfinite(found) else None


def _void(lag_ms: float) -> str | None:
    if lag_ms <= LAG_MS:
        return None
    return (
        f"the generator must leave on time, got {lag_ms:.1f} ms late at p99: lower the rate, or"
        " give it a core"
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Read the options, send, print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load")
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds that do not count")
    parser.add_argument("--bodies", type=Path, help="one JSON body a line; without: GET")
    parser.add_argument("--poisson", type=int, help="seed of random arrivals")
    parser.add_argument("--key", help="prefix of idempotency keys")
    given = vars(parser.parse_args())
    file = given.pop("bodies")
    lines = [line for line in file.read_bytes().splitlines() if line.strip()] if file else []
    plan = Plan(bodies=tuple(lines) or (b"",), **given)
    print(json.dumps(run(plan).as_dict()))


if __name__ == "__main__":
    main()
