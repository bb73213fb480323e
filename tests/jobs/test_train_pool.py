"""Pools evaluate every fold once and alike, on threads or on Ray, and outlive their workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cluster.settings import ROOT
from jobs.train import fit, pool, search, split, study
from jobs.train.evaluator import Evaluator
from jobs.train.space import FIRST
from tests.jobs import child_nodes
from tests.jobs.child_nodes import slow

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.train.front import Best

BUDGET = search.Budget(trials=6, folds=3, seed=3)


@pytest.fixture(scope="module")
def data() -> fit.Data:
    """300 rows with a planted signal."""
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(300, 4)).astype(np.float32)
    label = (rng.random(300) < 1 / (1 + np.exp(-2 * matrix[:, 0]))).astype(np.float32)
    folds = split.rolling(np.arange(300), 0)
    return fit.Data(matrix=matrix, label=label, types=("q",) * 4, folds=folds)


@pytest.fixture(scope="module")
def one_thread(data: fit.Data, tmp_path_factory: pytest.TempPathFactory) -> Best:
    """What the search finds on one thread."""
    return _inline(data, tmp_path_factory.mktemp("one"), 1)


def _inline(data: fit.Data, folder: Path, workers: int) -> Best:
    with (
        study.opened(folder / "study.log", "study") as opened,
        pool.inline_pool(Evaluator, (data,), workers) as evaluators,
    ):
        return search.search(opened, evaluators, BUDGET)


def _works(count: int) -> list[pool.Work]:
    return [pool.Work(trial=i, fold=0, params=FIRST) for i in range(count)]


def _all(evaluators: pool.Pool, works: list[pool.Work]) -> list[pool.Done]:
    for work in works:
        evaluators.submit(work)
    return sorted((evaluators.next() for _ in works), key=lambda done: done.trial)


class Paper:
    """An evaluator that says which thread it ran on."""

    def __init__(self, data: list[int]) -> None:
        data.append(threading.get_ident())

    def evaluate(self, work: pool.Work) -> pool.Done:
        """Answer after a moment."""
        time.sleep(0.01)
        return pool.Done(trial=work.trial, fold=work.fold, loss=0.5, rounds=1)


@pytest.mark.parametrize("workers", [2, 3])
def test_the_search_does_not_depend_on_the_number_of_threads(
    data: fit.Data, one_thread: Best, tmp_path: Path, workers: int
) -> None:
    """Bit for bit the same best trial."""
    assert _inline(data, tmp_path, workers) == one_thread


def test_each_thread_makes_one_evaluator_and_every_fold_is_answered() -> None:
    """Matrices are binned once per worker, and shared between none."""
    made: list[int] = []
    with pool.inline_pool(Paper, made, 2) as evaluators:
        done = _all(evaluators, _works(12))
    assert [d.trial for d in done] == list(range(12))
    assert len(made) == len(set(made)) == 2


def test_an_error_of_an_evaluator_reaches_the_driver() -> None:
    """Nothing is swallowed."""
    with pool.inline_pool(lambda _: _Broken(), None, 1) as evaluators:
        evaluators.submit(_works(1)[0])
        with pytest.raises(ValueError, match="no such parameter"):
            evaluators.next()


class _Broken:
    def evaluate(self, work: pool.Work) -> pool.Done:
        """Fail."""
        raise ValueError("no such parameter")


class Killer:
    """A pool that kills a worker of another pool after so many answers."""

    def __init__(self, inner: pool.RayPool[Any], after: int) -> None:
        self._inner = inner
        self._left = after

    def submit(self, work: pool.Work) -> None:
        """Pass on."""
        self._inner.submit(work)

    def next(self) -> pool.Done:
        """Pass on, after the murder."""
        self._left -= 1
        if self._left == 0:
            os.kill(_pid(self._inner.actors[-1]), signal.SIGKILL)
        return self._inner.next()

    @property
    def nodes(self) -> int:
        """Pass on."""
        return self._inner.nodes


def _pid(actor: Any) -> int:
    import ray

    return int(ray.get(actor.__ray_call__.remote(lambda _: os.getpid())))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_the_search_finds_on_ray_what_it_finds_on_threads(
    data: fit.Data, one_thread: Best, tmp_path: Path
) -> None:
    """Bit for bit, though workers are processes on two nodes."""
    with (
        study.opened(tmp_path / "study.log", "study") as opened,
        pool.ray_pool(Evaluator, (data,), 2) as evaluators,
    ):
        for actor in evaluators.actors:
            _pid(actor)  # both are up before the first fold is given out
        assert search.search(opened, evaluators, BUDGET) == one_thread
        assert evaluators.nodes == 2


@pytest.mark.drill
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_killed_worker_is_replaced_and_does_not_show(tmp_path: Path) -> None:
    """SIGKILL in the middle: its fold is done again, the result is that of an untouched pool."""
    with (
        study.opened(tmp_path / "quiet.log", "study") as opened,
        pool.inline_pool(slow(), None, 2) as evaluators,
    ):
        wanted = search.search(opened, evaluators, BUDGET)
    with (
        study.opened(tmp_path / "killed.log", "study") as opened,
        pool.ray_pool(slow(), None, 2) as evaluators,
    ):
        before = {_pid(actor) for actor in evaluators.actors}
        assert search.search(opened, Killer(evaluators, 5), BUDGET) == wanted
        assert {_pid(actor) for actor in evaluators.actors} != before


@pytest.mark.drill
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_fold_that_kills_every_worker_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many deaths on one fold are its fault: one line, with what to do."""
    monkeypatch.setattr(pool, "DEATHS", 2)

    class Poisonous:
        def __init__(self, data: None) -> None:
            """Hold nothing."""

        def evaluate(self, work: pool.Work) -> pool.Done:
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

    with pool.ray_pool(Poisonous, None, 1) as evaluators:
        evaluators.submit(_works(1)[0])
        with pytest.raises(pool.FoldLost, match="got 2 deaths on Work"):
            evaluators.next()


@pytest.mark.drill
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_worker_that_no_core_is_left_for_holds_nothing_up() -> None:
    """Five workers on two cores: those that run do all of the work."""
    with pool.ray_pool(slow(), None, 5) as evaluators:
        done = _all(evaluators, _works(8))
    assert [d.trial for d in done] == list(range(8))


@pytest.mark.drill
@pytest.mark.ray
def test_a_killed_node_is_done_without(tmp_path: Path) -> None:
    """Of two nodes one is lost in the middle: the search ends with what it finds on threads."""
    with (
        study.opened(tmp_path / "quiet.log", "study") as opened,
        pool.inline_pool(slow(), None, 2) as evaluators,
    ):
        wanted = search.search(opened, evaluators, child_nodes.BUDGET)
    command = [sys.executable, "-m", "tests.jobs.child_nodes", str(tmp_path / "two")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    (said,) = (json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"best"'))
    assert said == {"best": json.loads(json.dumps(asdict(wanted))), "nodes": 2, "is_lost": True}
