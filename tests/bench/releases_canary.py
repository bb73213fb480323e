"""Bad canaries on the real service, in this process: how soon each is undone, and who met it.

The decision service with its journal, watcher and judge; model and candidate are the same published
trees, but for a fault that this module puts between watcher and trees: it raises for a share of the
rows, by a hash of the row's bytes. Load is open: requests leave on time, whatever is answered.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from itertools import cycle
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from cluster.errors import Refusal
from cluster.folding import Folding
from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.answer.questions import Question
from serving.answer.service import DEADLINE_MS, DecisionService
from serving.model import Model
from serving.releases.evidence import CANDIDATE, STABLE
from serving.releases.release import State
from serving.slots import arms
from serving.slots.slot import Answer
from tests.bench import releases_moves
from tests.bench.serving_company import lead
from tests.bench.serving_workspace import TARGET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from serving.answer.ticket import Outcome
    from serving.model import Scores
    from tests.bench.serving_workspace import Made

RATE, SLOWER = 200.0, 100.0  # requests a second; the other where a machine does not bear it
BAD = {STABLE: 0.01, CANDIDATE: 0.10}  # shares of rows that raise
AT_FIVE = 2  # the step of the plan that gives 5 %
BEFORE_S, LONGEST_S, AFTER_S, TRIED_S = 1.0, 60.0, 3.0, 5.0  # the second at RATE
LATE_S, LOST = 0.05, 0.01  # p99 of how late requests leave, and share of time-outs, borne
CALLERS = 96  # threads that wait for an answer
POLL_S = 0.02
SWITCH_S = 0.00005  # as a replica has it: see serving/app.py

type Figures = dict[str, Any]


class FaultError(Exception):
    """What was planted."""


@dataclass(kw_only=True)
class Fault:
    """Raises for a share of the rows while it is on."""

    stable: str  # id of the model that answers
    is_on: bool = False  # not while slots are loaded and warmed: they would be refused
    salt: str = ""

    def of(self, id: str, model: Model) -> Model:
        """Return a model with the fault."""
        arm = STABLE if id == self.stable else CANDIDATE
        held = {each.name: getattr(model, each.name) for each in fields(Model)}
        return Faulty(**held, fault=self, share=BAD[arm])

    def hits(self, row: np.ndarray, share: float) -> bool:
        """Does it raise for a row?"""
        drawn = hashlib.blake2b(row.tobytes(), key=self.salt.encode(), digest_size=8).digest()
        return int.from_bytes(drawn) < share * 2**64


@dataclass(frozen=True, kw_only=True)
class Faulty(Model):
    """A model whose trees are not asked about some rows."""

    fault: Fault
    share: float

    def score(self, matrix: np.ndarray, points: np.ndarray | None = None) -> Scores:
        """Raise FaultError for a batch with a row that is hit."""
        if self.fault.is_on and any(self.fault.hits(row, self.share) for row in matrix):
            raise FaultError("planted")
        return super().score(matrix, points)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One answer."""

    at: float  # seconds since the epoch, when the caller had it
    arm: str  # empty: no release was under way, or no answer
    cause: str  # of a fallback; a refusal's first words
    is_refused: bool = False


@dataclass(kw_only=True)
class Load:
    """Asks about one account after another at a fixed rate, until it is closed."""

    service: DecisionService
    keys: Iterator[str]
    rate: float
    heard: list[Heard] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)  # that requests left after their time
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Ask until the end of the block, and wait for what is asked by then."""
        with ThreadPoolExecutor(CALLERS) as pool:
            pacing = threading.Thread(target=self._pace, args=(pool,), daemon=True)
            pacing.start()
            try:
                yield
            finally:
                self._over.set()
                pacing.join()

    def _pace(self, pool: ThreadPoolExecutor) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            pool.submit(self._ask, next(self.keys), due)
            due += 1 / self.rate

    def _ask(self, key: str, due: float) -> None:
        self.late_s.append(time.monotonic() - due)
        asked = Question(kind="lead", key=key, reasons=False)
        self.heard.append(_heard(self.service.decide(asked, deadline_ms=DEADLINE_MS)))

    @property
    def late_p99_s(self) -> float:
        """How late requests left."""
        return float(np.percentile(self.late_s, 99))

    @property
    def lost(self) -> float:
        """Share of requests that were refused, or answered by the rules as time was up."""
        return sum(h.is_refused or h.cause == "deadline" for h in self.heard) / len(self.heard)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One bad canary."""

    decided_s: float | None  # from the start of the step until the rollback could be read
    state: str
    alarms: tuple[str, ...]  # guards that spoke
    last_bad_s: float  # of a candidate's answer, after that
    harmed: float  # share of all answers that the candidate's model failed
    failing: dict[str, float]  # by arm: share of answers that its model failed
    causes: dict[str, int]  # of fallbacks and refusals
    late_p99_s: float
    asked: int


def measured(made: Made, runs: int, rate: float | None) -> Figures:
    """Return the figures of so many bad canaries."""
    sys.setswitchinterval(SWITCH_S)
    with Workspace.open(Settings(home=made.home)) as place, closing(Folding(place.database)) as on:
        on.start()
        fault = Fault(stable=releases_moves.stable(place).model)
        with _faulty(fault), closing(_service(place)) as service:
            service.begin_judging()
            keys = cycle([lead(n) for n in range(len(made.leads))])
            rate = rate or _borne(service, keys)
            found = [_run(service, fault, keys, rate) for _ in range(runs)]
    return summed(found, rate)


def summed(found: list[Run], rate: float) -> Figures:
    """Return the figures of all runs. Seconds until a verdict are those at RATE: at half of it, all
    that waits for decisions takes twice as long. Those after it are as they were.
    """
    scale = rate / RATE
    decided = [LONGEST_S if run.decided_s is None else run.decided_s * scale for run in found]
    p50, p95 = np.percentile(decided, (50, 95)).tolist()
    return {
        "runs": len(found),
        "rate": rate,
        "time_scaled_by": scale,
        "rollback_decided_p50_s": round(p50, 2),
        "rollback_decided_p95_s": round(p95, 2),
        "rollback_decided_each_s": [round(each, 2) for each in decided],
        "not_rolled_back": sum(run.state != State.ROLLED_BACK for run in found),
        "last_bad_answer_s": round(max(run.last_bad_s for run in found), 3),
        "harmed_share": round(float(np.mean([run.harmed for run in found])), 5),
        "failing_share": {
            arm: round(float(np.mean([run.failing[arm] for run in found])), 4) for arm in BAD
        },
        "alarms": dict(Counter(name for run in found for name in run.alarms)),
        "causes": dict(sum((Counter(run.causes) for run in found), Counter[str]())),
        "late_p99_ms": round(1e3 * max(run.late_p99_s for run in found), 1),
        "asked": sum(run.asked for run in found),
    }


@contextmanager
def _faulty(fault: Fault) -> Iterator[None]:
    """Let every model that is loaded have the fault."""
    honest = arms.admitted

    def admitted(place: Workspace, target: Any, id: str) -> Model | Refusal:
        found = honest(place, target, id)
        return found if isinstance(found, Refusal) else fault.of(id, found)

    with mock.patch.object(arms, "admitted", admitted):
        yield


def _service(place: Workspace) -> DecisionService:
    return DecisionService(
        place, {"lead": Answer(target=str(TARGET), policy=releases_moves.POLICY)}
    )


def _borne(service: DecisionService, keys: Iterator[str]) -> float:
    """Return the rate that this machine bears with generator and service in one process."""
    load = Load(service=service, keys=keys, rate=RATE)
    with load.under_way():
        time.sleep(TRIED_S)
    return RATE if load.late_p99_s <= LATE_S and load.lost <= LOST else SLOWER


def _run(service: DecisionService, fault: Fault, keys: Iterator[str], rate: float) -> Run:
    """Release a bad candidate under load, and see it undone."""
    mover = releases_moves.Mover(service.workspace, replicas=1)
    mover.begin("canary")
    mover.followed()
    fault.salt, fault.is_on = mover.release.salt, True
    load = Load(service=service, keys=keys, rate=rate)
    with load.under_way():
        time.sleep(BEFORE_S)
        began = time.time()
        mover.put(mover.release.model_copy(update={"step": AT_FIVE, "since": mover.now}))
        undone = _until(lambda: mover.is_moved(), began + LONGEST_S * RATE / rate)
        time.sleep(AFTER_S if undone else 0.0)
    fault.is_on = False
    alarms = mover.end()
    return _told(load, began, undone, alarms, mover.release.state)


def _until(is_so: Callable[[], bool], end: float) -> float | None:
    """Return when something is so; None if it is not by the end."""
    while (now := time.time()) < end:
        if is_so():
            return now
        time.sleep(POLL_S)
    return None


def _told(
    load: Load, began: float, undone: float | None, alarms: tuple[str, ...], state: State
) -> Run:
    heard = [each for each in load.heard if each.at >= began]
    arms_of = {arm: [each for each in heard if each.arm == arm] for arm in BAD}
    failed = {arm: sum(e.cause == "model_failed" for e in each) for arm, each in arms_of.items()}
    last = max((each.at for each in arms_of[CANDIDATE]), default=began)
    return Run(
        decided_s=undone - began if undone else None,
        state=state,
        alarms=alarms,
        last_bad_s=max(0.0, last - undone) if undone else 0.0,
        harmed=failed[CANDIDATE] / len(heard),
        failing={arm: failed[arm] / max(len(each), 1) for arm, each in arms_of.items()},
        causes=dict(Counter(each.cause for each in heard if each.cause)),
        late_p99_s=load.late_p99_s,
        asked=len(heard),
    )


def _heard(outcome: Outcome) -> Heard:
    now = time.time()
    if isinstance(outcome, Refusal):
        return Heard(at=now, arm="", cause=type(outcome).__name__, is_refused=True)
    drawn, fallback = outcome.body.get("release"), outcome.body["fallback"]
    return Heard(
        at=now, arm=drawn["arm"] if drawn else "", cause=fallback["cause"] if fallback else ""
    )
