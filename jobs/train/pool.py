"""The pool: where folds are evaluated. The only file of this job that knows Ray.

One evaluator per core keeps the matrices of its folds, so a trial costs training alone. A worker
that dies is replaced and its fold evaluated again; nobody else notices.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from cluster.errors import FunnelcastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

type Params = dict[str, float]

DEATHS = 3  # of workers with the same fold, before it is given up


class FoldLost(FunnelcastError):
    """A fold killed every worker that took it."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One fold of one trial."""

    data: int = 0  # which of those that the workers hold
    trial: int
    fold: int
    params: Params = field(hash=False)


@dataclass(frozen=True, kw_only=True)
class Done:
    """What one fold of one trial gave."""

    data: int = 0
    trial: int
    fold: int
    loss: float  # of the target's metric on the held rows, at its best round
    rounds: int  # that round


class Evaluates(Protocol):
    """What a worker holds."""

    def evaluate(self, work: Work) -> Done:
        """Train and judge one fold."""


class Pool(Protocol):
    """Several workers behind one queue."""

    def submit(self, work: Work) -> None:
        """Queue a fold."""

    def next(self) -> Done:
        """Wait for any submitted fold and return its outcome."""

    @property
    def nodes(self) -> int:
        """How many machines have had a worker that was ready."""


@contextmanager
def inline_pool[D](
    evaluator: Callable[[D], Evaluates], data: D, workers: int
) -> Iterator[InlinePool[D]]:
    """Evaluate in this process, on `workers` threads with an evaluator of `data` each."""
    with ThreadPoolExecutor(workers, thread_name_prefix="train") as executor:
        try:
            yield InlinePool(evaluator, data, executor)
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def ray_pool[D](evaluator: Callable[[D], Evaluates], data: D, workers: int) -> Iterator[RayPool[D]]:
    """Evaluate on `workers` actors of the Ray session this process is connected to."""
    pool = RayPool(evaluator, data, workers)
    try:
        yield pool
    finally:
        pool.close()


class InlinePool[D]:
    """Threads, each with an evaluator of its own: XGBoost lets go of the interpreter to train."""

    def __init__(
        self, evaluator: Callable[[D], Evaluates], data: D, executor: ThreadPoolExecutor
    ) -> None:
        self._make = evaluator
        self._data = data
        self._executor = executor
        self._own = threading.local()
        self._running: set[Future[Done]] = set()

    @property
    def nodes(self) -> int:
        """This machine."""
        return 1

    def submit(self, work: Work) -> None:
        """Queue a fold."""
        self._running.add(self._executor.submit(self._evaluate, work))

    def next(self) -> Done:
        """Wait for any submitted fold and return its outcome."""
        done = next(iter(wait(self._running, return_when=FIRST_COMPLETED).done))
        self._running.remove(done)
        return done.result()

    def _evaluate(self, work: Work) -> Done:
        if not hasattr(self._own, "evaluator"):
            self._own.evaluator = self._make(self._data)
        evaluator: Evaluates = self._own.evaluator
        return evaluator.evaluate(work)


def _node(evaluator: object) -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


class RayPool[D]:
    """Actors of one core each; the rows are put into the object store once.

    Only an actor that runs gets work: one the cluster has no core for holds nothing up.
    """

    def __init__(self, evaluator: Callable[[D], Evaluates], data: D, workers: int) -> None:
        import ray

        self._ray = ray
        self._actor: Any = ray.remote(num_cpus=1, max_restarts=0)(evaluator)
        self._data = ray.put(data)
        self._queue: deque[Work] = deque()
        self._idle: list[Any] = []
        self._busy: dict[
            Any, tuple[Any, Work | None]
        ] = {}  # by what it will answer; None: starting
        self._deaths: Counter[Work | None] = Counter()
        self._nodes: set[str] = set()
        for _ in range(workers):
            self._start()

    @property
    def actors(self) -> list[Any]:
        """Handles of the workers."""
        return [*self._idle, *(actor for actor, _ in self._busy.values())]

    @property
    def nodes(self) -> int:
        """How many machines have had a worker that was ready."""
        return len(self._nodes)

    def submit(self, work: Work) -> None:
        """Queue a fold."""
        self._queue.append(work)
        self._dispatch()

    def next(self) -> Done:
        """Wait for any submitted fold and return its outcome; FoldLost if it cannot be had."""
        while True:
            (ready,), _ = self._ray.wait(list(self._busy), num_returns=1)
            actor, work = self._busy.pop(ready)
            try:
                answer = self._ray.get(ready)
            except self._ray.exceptions.RayActorError:
                self._replace(actor, work)
                continue
            self._idle.append(actor)
            self._dispatch()
            if work is None:
                self._nodes.add(answer)
                continue
            done: Done = answer
            return done

    def close(self) -> None:
        """Let go of the actors."""
        for actor in self.actors:
            self._ray.kill(actor)

    def _start(self) -> None:
        actor: Any = self._actor.remote(self._data)
        self._busy[actor.__ray_call__.remote(_node)] = (actor, None)

    def _dispatch(self) -> None:
        while self._idle and self._queue:
            actor, work = self._idle.pop(), self._queue.popleft()
            self._busy[actor.evaluate.remote(work)] = (actor, work)

    def _replace(self, actor: Any, work: Work | None) -> None:
        self._ray.kill(actor)  # it may only have been out of reach, and would keep its core
        self._deaths[work] += 1
        if self._deaths[work] >= DEATHS:
            raise FoldLost(
                f"a worker must survive a fold, got {DEATHS} deaths on {work or 'start'}: "
                "give workers more memory"
            )
        if work is not None:
            self._queue.appendleft(work)
        self._start()
        self._dispatch()  # to who is idle: the new one may wait for a core that is no more
