"""The race: a trial that folds to come cannot save is given up, another is not."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from jobs.train import race

WINDOW = 4


def _study(totals: list[tuple[float, float]]) -> optuna.Study:
    """Return a study of complete trials of (loss after the first fold, loss after both)."""
    study = optuna.create_study(pruner=race.Race(WINDOW))
    for index, (first, total) in enumerate(totals):
        trial = optuna.create_trial(
            state=TrialState.COMPLETE,
            value=total,
            intermediate_values={0: first, 1: total},
            user_attrs={"index": index},
        )
        study.add_trial(trial)
    return study


def _is_pruned(study: optuna.Study, index: int, first: float) -> bool:
    trial = study.ask()
    trial.set_user_attr("index", index)
    trial.report(first, 0)
    return trial.should_prune()


# the leader is ahead by 0.1, 0.2, 0.3 at last, and was by 0.09, 0.22, 0.29 after one fold
RUN = [(0.5, 0.6), (0.59, 0.7), (0.72, 0.8), (0.79, 0.9)]
ERROR = ((0.01**2 + 0.02**2 + 0.01**2) / 3) ** 0.5


@pytest.mark.parametrize(("behind", "is_pruned"), [(-0.1, False), (0.99, False), (1.01, True)])
def test_a_trial_may_be_behind_by_so_many_errors(behind: float, is_pruned: bool) -> None:
    """Errors as they were seen among those that ran to the end."""
    first = 0.5 + behind * race.MARGIN * ERROR
    assert _is_pruned(_study(RUN), 8, first) == is_pruned


def test_too_few_have_run_to_tell() -> None:
    """Three do not, four do."""
    assert not _is_pruned(_study(RUN[:3]), 8, 9.0)
    assert _is_pruned(_study(RUN), 8, 9.0)


def test_only_trials_that_were_told_before_it_was_asked_for_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else who is faster would decide; and a mutant that lets all of them count."""
    assert not _is_pruned(_study(RUN), 3 + WINDOW - 1, 9.0)
    assert _is_pruned(_study(RUN), 3 + WINDOW, 9.0)
    study = _study(RUN)
    monkeypatch.setattr(study.pruner, "_window", 0)
    assert _is_pruned(study, 3 + WINDOW - 1, 9.0)


def test_a_leader_that_was_behind_after_its_first_fold_is_the_leader() -> None:
    """Who is ahead in the end counts, not who was."""
    late = [(0.7, 0.5), *RUN]
    assert not _is_pruned(_study(late), 9, 0.69)
