"""The search gives one answer, whoever evaluates it, and however often it is killed.

Run as a program it is the driver that the kill test kills: `python test_train_search.py FOLDER`.
"""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest
from optuna.trial import TrialState

from cluster.settings import ROOT
from jobs.train import search, study
from jobs.train.pool import Done, Work
from jobs.train.space import FIRST, PORTFOLIO

if TYPE_CHECKING:
    from jobs.train.front import Best

TRIALS, FOLDS = 16, 3
BUDGET = search.Budget(trials=TRIALS, folds=FOLDS, seed=5)


class NoPower(Exception):
    """The driver dies here."""


@dataclass
class PaperPool:
    """A pool whose losses are a formula; it finishes its work in an order of its own."""

    order: random.Random = field(default_factory=lambda: random.Random(0))
    dies_after: int | None = None
    log: Path | None = None
    seen: Counter[tuple[int, int]] = field(default_factory=Counter)
    queue: list[Work] = field(default_factory=list)
    most: int = 0  # folds under way at once

    def submit(self, work: Work) -> None:
        """Queue a fold."""
        self.queue.append(work)
        self.most = max(self.most, len(self.queue))

    def next(self) -> Done:
        """Return the outcome of any queued fold."""
        if self.dies_after is not None and sum(self.seen.values()) == self.dies_after:
            raise NoPower
        work = self.queue.pop(self.order.randrange(len(self.queue)))
        self.seen[work.trial, work.fold] += 1
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{work.trial} {work.fold}\n")
            time.sleep(0.005)
        loss = _loss(work)
        return Done(
            data=work.data, trial=work.trial, fold=work.fold, loss=loss, rounds=work.trial + 10
        )


def _loss(work: Work) -> float:
    params = work.params
    depth = (params["max_depth"] - 5) ** 2
    return 0.5 + 0.01 * depth + (math.log(params["learning_rate"] / 0.1)) ** 2 + 0.001 * work.fold


def _run(
    path: Path, pool: PaperPool, budget: search.Budget = BUDGET
) -> tuple[Best, list[tuple[object, ...]]]:
    """Return the best trial, and every told trial in the order of the search."""
    with study.opened(path, "study") as opened:
        best = search.search(opened, pool, budget)
        told = opened.get_trials(states=search.FINISHED)
    rows = [(t.user_attrs["index"], t.state, t.value, tuple(t.params.items())) for t in told]
    return best, sorted(rows, key=lambda row: row[0])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, object]:
    """What the search finds when nothing happens."""
    return _run(tmp_path_factory.mktemp("whole") / "study.log", PaperPool())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_result_does_not_depend_on_who_is_faster(
    tmp_path: Path, undisturbed: tuple[object, object], seed: int
) -> None:
    """Any order of completion tells the same trials with the same values."""
    assert _run(tmp_path / "study.log", PaperPool(order=random.Random(seed))) == undisturbed


def test_another_seed_proposes_other_trials(
    tmp_path: Path, undisturbed: tuple[object, object]
) -> None:
    """The seed is part of the question."""
    other = search.Budget(trials=TRIALS, folds=FOLDS, seed=6)
    assert _run(tmp_path / "study.log", PaperPool(), other) != undisturbed


def test_the_search_learns_and_prunes(tmp_path: Path) -> None:
    """Better than its first trial; some trials are told as pruned and cost fewer folds."""
    pool = PaperPool()
    budget = search.Budget(trials=40, folds=FOLDS, seed=5)
    best, told = _run(tmp_path / "study.log", pool, budget)
    states = Counter(row[1] for row in told)
    assert best.loss < 0.55 < _loss(Work(trial=0, fold=0, params=FIRST))
    assert states == {TrialState.COMPLETE: best.complete, TrialState.PRUNED: best.pruned}
    assert best.pruned >= 5
    assert max(pool.seen.values()) == 1
    assert sum(pool.seen.values()) < 40 * FOLDS
    assert best.rounds == best.trial + 10


@pytest.mark.parametrize("dies_after", [0, 1, 3, 5, 11, 20, 28])
def test_a_search_that_died_anywhere_ends_as_if_it_had_not(
    tmp_path: Path, undisturbed: tuple[object, object], dies_after: int
) -> None:
    """Every fold is evaluated once, the trials and the best are those of an undisturbed run."""
    first, second = PaperPool(dies_after=dies_after), PaperPool(order=random.Random(9))
    with pytest.raises(NoPower):
        _run(tmp_path / "study.log", first)
    assert _run(tmp_path / "study.log", second) == undisturbed
    assert max((first.seen + second.seen).values()) == 1


def test_without_taking_up_what_was_left_folds_would_be_evaluated_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence above, switched off."""
    monkeypatch.setattr(study, "_take_up", lambda _: None)
    first, second = PaperPool(dies_after=11), PaperPool()
    with pytest.raises(NoPower):
        _run(tmp_path / "study.log", first)
    _run(tmp_path / "study.log", second)
    assert max((first.seen + second.seen).values()) == 2


def test_searches_side_by_side_find_what_they_find_alone(
    tmp_path: Path, undisturbed: tuple[object, object]
) -> None:
    """Whatever is evaluated first; all folds are of the data that they were asked for."""
    longer = search.Budget(trials=TRIALS + 4, folds=FOLDS, seed=5)
    heard: list[int] = []
    paper = PaperPool(order=random.Random(4))
    with study.opened(tmp_path / "a.log", "a") as one, study.opened(tmp_path / "b.log", "b") as two:
        found = search.side_by_side([(one, BUDGET), (two, longer)], paper, heard.append)
    alone = _run(tmp_path / "alone.log", PaperPool(), longer)[0]
    assert found == [undisturbed[0], alone]
    assert heard[-1] == 2 * TRIALS + 4


def test_more_workers_have_more_trials_under_way_and_a_study_keeps_how_many(
    tmp_path: Path,
) -> None:
    """Twice as many as workers, four or more; resumed by fewer workers it goes on as it began."""
    paper = PaperPool()
    with study.opened(tmp_path / "study.log", "study", workers=5) as opened:
        search.search(opened, paper, BUDGET)
    assert paper.most == 10
    few = PaperPool()
    more = search.Budget(trials=TRIALS + 12, folds=FOLDS, seed=5)
    with study.opened(tmp_path / "study.log", "study", workers=1) as opened:
        search.search(opened, few, more)
    assert few.most == 10


def test_a_study_cut_at_any_line_ends_as_if_it_had_not_been(
    tmp_path: Path, undisturbed: tuple[object, object]
) -> None:
    """Also in the middle of a trial's parameters, and of what is queued again; twice."""
    whole = tmp_path / "whole.log"
    _run(whole, PaperPool())
    lines = whole.read_bytes().splitlines(keepends=True)
    for cut in range(1, len(lines), 3):
        path = tmp_path / f"{cut}.log"
        path.write_bytes(b"".join(lines[:cut]))
        with study.opened(path, "study"):
            pass
        again = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(again[: (cut + len(again)) // 2]))
        assert _run(path, PaperPool()) == undisturbed, cut


def test_what_was_left_without_its_parameters_would_be_another_search(
    tmp_path: Path, undisturbed: tuple[object, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence above, switched off: a trial is queued again with those it was told."""
    real = optuna.Study.enqueue_trial

    def told(self: optuna.Study, params: dict[str, float], **more: object) -> None:
        real(self, dict(list(params.items())[:3]), **more)  # type: ignore[arg-type]

    first = PaperPool(dies_after=3)
    with pytest.raises(NoPower):
        _run(tmp_path / "study.log", first)
    monkeypatch.setattr(optuna.Study, "enqueue_trial", told)
    assert _run(tmp_path / "study.log", PaperPool()) != undisturbed


def _started(folder: Path) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, __file__, str(folder)], env=environ)


def _lines(folder: Path) -> list[str]:
    log = folder / "evaluated"
    return log.read_text().splitlines() if log.exists() else []


def _recorded(folder: Path) -> set[tuple[int, int]]:
    with study.opened(folder / "study.log", "study") as opened:
        return {
            (trial.user_attrs["index"], fold)
            for trial in opened.get_trials(deepcopy=False)
            for fold in range(FOLDS)
            if f"fold{fold}" in trial.user_attrs
        }


@pytest.mark.parametrize(
    "kills", [(9,), pytest.param((1, 4, 9, 15, 22, 28), marks=pytest.mark.drill)]
)
def test_kill_9_in_the_middle_recomputes_nothing_that_was_recorded(
    tmp_path: Path, undisturbed: tuple[object, object], kills: tuple[int, ...]
) -> None:
    """After that many folds; the trials are the same, at most the fold in hand is done again."""
    for lines in kills:
        child = _started(tmp_path)
        while len(_lines(tmp_path)) < lines and child.poll() is None:
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        evaluated, recorded = set(_lines(tmp_path)), _recorded(tmp_path)
        assert len(evaluated) - len(recorded) <= 1
    last = PaperPool(log=tmp_path / "evaluated")
    assert _run(tmp_path / "study.log", last) == undisturbed
    assert not recorded & set(last.seen)
    assert max(Counter(_lines(tmp_path)).values()) <= 1 + len(kills)


def _torn(path: Path, tail: bytes) -> None:
    with pytest.raises(NoPower):
        _run(path, PaperPool(dies_after=11))
    with path.open("ab") as file:
        file.write(tail)


@pytest.mark.parametrize("tail", [b'{"op_code":8,"worker_i', b"\0" * 8, b'{"op_code"\n{}\n'])
def test_an_end_that_was_not_written_whole_is_cut_off(
    tmp_path: Path, undisturbed: tuple[object, object], tail: bytes
) -> None:
    """What a kill or a loss of power in the middle of a write leaves."""
    _torn(tmp_path / "study.log", tail)
    assert _run(tmp_path / "study.log", PaperPool()) == undisturbed


def test_without_mending_half_a_line_would_break_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next line joins the half one, and nobody can read it."""
    _torn(tmp_path / "study.log", b'{"op_code":8,"worker_i')
    monkeypatch.setattr(study, "_mend", lambda _: None)
    with pytest.raises(ValueError, match=r"delimiter|Invalid"):
        _run(tmp_path / "study.log", PaperPool())


def test_a_study_has_one_driver_at_a_time(tmp_path: Path) -> None:
    """The second is refused, and may come when the first has gone."""
    path = tmp_path / "study.log"
    with (
        study.opened(path, "study"),
        pytest.raises(study.StudyBusy, match="a study runs once at a time"),
        study.opened(path, "study"),
    ):
        pass
    with study.opened(path, "study") as opened:
        assert not opened.trials


def test_more_trials_later_go_on_from_those_there_are(
    tmp_path: Path, undisturbed: tuple[object, object]
) -> None:
    """Seven, then sixteen: the same as sixteen at once, and the seven are not evaluated again."""
    first, second, third = PaperPool(), PaperPool(), PaperPool()
    few = search.Budget(trials=7, folds=FOLDS, seed=5)
    best_of_few, _ = _run(tmp_path / "study.log", first, few)
    assert _run(tmp_path / "study.log", second) == undisturbed
    assert not set(first.seen) & set(second.seen)
    assert _run(tmp_path / "study.log", third, few)[0] == best_of_few
    assert not third.seen


def test_when_the_time_is_over_what_runs_is_finished_and_nothing_begun(tmp_path: Path) -> None:
    """Even with no time at all there is one trial, the known good one."""
    budget = search.Budget(trials=TRIALS, folds=FOLDS, seed=5, is_over=lambda: True)
    best, told = _run(tmp_path / "study.log", PaperPool(), budget)
    assert len(told) == 1
    assert best.params == PORTFOLIO[0]


if __name__ == "__main__":
    _run(Path(sys.argv[1]) / "study.log", PaperPool(log=Path(sys.argv[1]) / "evaluated"))
