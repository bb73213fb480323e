"""Blue-green flips of the running service, over HTTP and under load: how long each takes, what it
costs in answers, and whether anybody hears the old version after it was said to be gone.

A flip is complete, and is acknowledged, when every replica alive answers by it. An answer is old if
it is of the version before and its caller had it more than a second after that: it was sent sooner.
A disk that stalls fails requests too, as no answer comes before its record is durable: `disk` says
what a writer beside waited, and `failed_beside_a_flip` how many failures came with a flip.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.settings import Settings
from cluster.workspace import Workspace
from tests.bench import load, releases_moves, serving_disk, serving_services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.errors import Refusal
    from serving.releases.release import Release
    from tests.bench.serving_workspace import Made

RATE = 100.0
PART_S = 4.0  # of load, run after run: HAProxy takes connections back that sent nothing for 5 s
WARM_S = 5.0  # of load before the first flip, that does not count
TOLD = 120  # bytes of an answer that failed
DWELL_S = 1.5  # after each acknowledgement, until the next move
GRACE_S = 1.0  # in which what was under way may still be sent

type Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A move that changes who answers, from when it was acknowledged until the next one began."""

    old: str  # model
    took_s: float  # from the move until it was acknowledged
    since: float  # when it was, seconds since the epoch
    until: float


@dataclass(kw_only=True)
class Listener:
    """Sends the same load over and over, and hears every answer."""

    plan: load.Plan
    answers: list[tuple[float, str]] = field(default_factory=list)  # when heard, and which model
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    failed_at: list[float] = field(default_factory=list)  # when it was heard
    words: Counter[str] = field(default_factory=Counter)  # of failures
    offered: int = 0
    lag_p99_ms: float = 0.0
    p99_ms: list[float] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Send until the end of the block, and hear the last answer."""
        sending = threading.Thread(target=self._send, daemon=True)
        sending.start()
        try:
            yield
        finally:
            self._over.set()
            sending.join()

    @property
    def failed(self) -> int:
        """Requests that came to anything but 200, or to nothing."""
        wrong = sum(count for status, count in self.statuses.items() if status != 200)
        return wrong + self.errors.total()

    def _send(self) -> None:
        while not self._over.is_set():
            found = load.run(self.plan, self._hear)
            self.offered += found.offered
            self.statuses.update(found.statuses)
            self.errors.update(found.errors)
            self.lag_p99_ms = max(self.lag_p99_ms, found.lag_p99_ms)
            self.p99_ms += [found.p99_ms] if found.p99_ms is not None else []

    def _hear(self, answer: load.Answer) -> None:
        now = time.time()
        if answer.status == 200:
            body = json.loads(answer.body)
            self.answers.append((now, body["basis"]["model"]))
            if body["fallback"]:
                self.fallbacks[body["fallback"]["cause"]] += 1
        else:
            self.failed_at.append(now)
            said = answer.error or answer.body[-TOLD:].decode(errors="replace")
            self.words[re.sub(r"\d+", "N", said)] += 1


def measured(made: Made, profile: str, flips: int, replicas: int) -> Figures:
    """Return the figures of so many flips, each undone again."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-releases-") as folder,
        serving_services.full(made, Path(folder), profile, replicas=replicas) as url,
        Workspace.open(Settings(home=made.home)) as place,
    ):
        plan = load.Plan(url=url, rate=RATE, seconds=PART_S, bodies=made.leads)
        mover = releases_moves.Mover(place, replicas=replicas)
        mover.met()
        load.run(replace(plan, seconds=WARM_S))
        listener = Listener(plan=plan)
        forth: list[Flip] = []
        back: list[Flip] = []
        with serving_disk.watched(made.home) as disk, listener.listening():
            for _ in range(flips):
                _flipped(mover, forth, back)
    told = {"replicas": replicas, "disk": serving_disk.told(disk.waits_ms)}
    return {**told, **_summed(listener, forth, back)}


def _flipped(mover: releases_moves.Mover, forth: list[Flip], back: list[Flip]) -> None:
    """Give all to the candidate once it is warm, then take it back."""
    mover.begin("blue_green")
    mover.followed()
    begun = mover.release
    forth.append(_moved(mover, begun.advanced("to be measured", mover.now), begun.stable.model))
    green = mover.release
    back.append(_moved(mover, green.rolled_back("to be measured"), begun.candidate.model))


def _moved(mover: releases_moves.Mover, after: Release | Refusal, old: str) -> Flip:
    """Move, wait until it is acknowledged, and let it stand for a while."""
    began = time.monotonic()
    mover.put(after)
    mover.followed()
    took, since = time.monotonic() - began, time.time()
    time.sleep(GRACE_S + DWELL_S)
    return Flip(old=old, took_s=took, since=since, until=time.time())


def _summed(listener: Listener, forth: list[Flip], back: list[Flip]) -> Figures:
    late = [_late(listener, flip) for flip in (*forth, *back)]
    heard = [_after(listener, flip) for flip in (*forth, *back)]
    if not all(heard):
        raise SystemExit("every flip must be followed by answers, got one that was not")
    return {
        "flips": len(forth),
        "rollbacks": len(back),
        "flip_p50_s": _percentile(forth, 50),
        "flip_p95_s": _percentile(forth, 95),
        "flip_max_s": _percentile(forth, 100),
        "rollback_p95_s": _percentile(back, 95),
        "rollback_max_s": _percentile(back, 100),
        "flip_failed_requests": listener.failed,
        "late_old_answers": sum(late),
        "answers_after_flips": sum(heard),
        "offered": listener.offered,
        "statuses": dict(listener.statuses),
        "errors": dict(listener.errors),
        "fallbacks": dict(listener.fallbacks),
        "failed_beside_a_flip": sum(_beside(listener, flip) for flip in (*forth, *back)),
        "failures": dict(listener.words),
        "p99_ms": round(float(np.median(listener.p99_ms)), 1) if listener.p99_ms else None,
        "generator_lag_p99_ms": listener.lag_p99_ms,
    }


def _late(listener: Listener, flip: Flip) -> int:
    """Return how many answers of the old version were heard too late."""
    told = listener.answers
    return sum(flip.since + GRACE_S < at < flip.until and m == flip.old for at, m in told)


def _after(listener: Listener, flip: Flip) -> int:
    """Return how many answers were heard when only the new version may have answered."""
    return sum(flip.since + GRACE_S < at < flip.until for at, _ in listener.answers)


def _beside(listener: Listener, flip: Flip) -> int:
    """Return how many failures were heard from a move until a second after all had followed."""
    return sum(flip.since - flip.took_s < at < flip.since + GRACE_S for at in listener.failed_at)


def _percentile(flips: list[Flip], share: float) -> float:
    return round(float(np.percentile([flip.took_s for flip in flips], share)), 3)
