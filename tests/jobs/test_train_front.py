"""The front: what is on it, and which trial is chosen."""

from __future__ import annotations

import itertools

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from jobs.train import front

DEPTH = {"max_depth": optuna.distributions.IntDistribution(1, 100)}


def _trial(index: int, loss: float | None, rounds: int, depth: int) -> FrozenTrial:
    folds = {front.fold(n): [loss, rounds] for n in range(2)} if loss is not None else {}
    return optuna.create_trial(
        state=TrialState.COMPLETE if loss is not None else TrialState.PRUNED,
        value=loss,
        params={"max_depth": depth},
        distributions=dict(DEPTH),
        user_attrs={"index": index, **folds},
    )


TOLD = [
    _trial(0, 0.30, 100, 4),
    _trial(1, 0.31, 50, 2),
    _trial(2, 0.32, 60, 2),  # worse and dearer than trial 1
    _trial(3, None, 0, 2),
    _trial(4, 0.40, 10, 1),
]


@pytest.mark.parametrize(
    ("tolerance", "chosen"), [(0.0, 0), (0.009, 0), (0.011, 1), (0.05, 1), (1.0, 4)]
)
def test_the_cheapest_within_the_tolerance_is_chosen(tolerance: float, chosen: int) -> None:
    """None that is worse than another and as dear is on the front."""
    best = front.best(TOLD, tolerance)
    assert [(each.trial, each.cost) for each in best.front] == [(0, 400), (1, 100), (4, 10)]
    assert [each.trial for each in best.front if each.chosen] == [chosen] == [best.trial]
    assert (best.complete, best.pruned) == (4, 1)


LOSSES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 3))


@given(st.lists(LOSSES, min_size=1, max_size=12), st.integers(0, 3))
def test_nothing_on_the_front_is_beaten_and_nothing_else_is_missing(
    drawn: list[tuple[int, int, int]], tolerance: int
) -> None:
    """By trying all pairs."""
    told = [_trial(n, float(a), b, c) for n, (a, b, c) in enumerate(drawn)]
    best = front.best(told, float(tolerance))
    points = {(float(a), b * c) for a, b, c in drawn}
    unbeaten = {
        (a, cost)
        for a, cost in points
        if not any(x <= a and y <= cost and (x, y) != (a, cost) for x, y in points)
    }
    assert {(each.loss, each.cost) for each in best.front} == unbeaten
    assert all(x.loss < y.loss and x.cost > y.cost for x, y in itertools.pairwise(best.front))
    least = min(a for a, _ in points)
    allowed = [cost for a, cost in unbeaten if a <= least + tolerance]
    assert [each.cost for each in best.front if each.chosen] == [min(allowed)]
