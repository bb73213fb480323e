"""Four chances of four models make one row of moves."""

from __future__ import annotations

import numpy as np
import pytest

from serving.forecast import causes
from serving.forecast.person import OUTCOMES

LEARNT = np.array([[0.6, 0.2, 0.1, 0.05, 0.05], [0.1, 0.6, 0.1, 0.1, 0.1], [0, 0.1, 0.6, 0.2, 0.1]])


def test_they_stand_in_the_order_of_the_outcomes() -> None:
    assert ("stay", *causes.CAUSES) == OUTCOMES


def test_chances_that_fit_are_left_as_they_are() -> None:
    told = causes.together(np.array([[0.2, 0.05, 0.1, 0.15]]))
    assert told[0] == pytest.approx([0.5, 0.2, 0.05, 0.1, 0.15])


def test_chances_that_are_too_much_shrink_alike() -> None:
    told = causes.together(np.array([[0.8, 0.0, 0.8, 0.4], [1.0, 1.0, 1.0, 1.0], [0, 0, 0, 0]]))
    assert told.sum(axis=1) == pytest.approx([1.0, 1.0, 1.0]) and (told >= 0.0).all()
    assert told[0] == pytest.approx([0.01, 0.396, 0.0, 0.396, 0.198])
    assert told[2].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_an_advance_is_spread_over_later_stages_as_was_learnt() -> None:
    found = causes.spread(np.array([[0.3, 0.1, 0.1, 0.1]]), np.array([0]), LEARNT)
    assert found[0] == pytest.approx([0.5, 0.2, 0.1, 0.1, 0.1]), "from the first none falls back"
    last = causes.spread(np.array([[0.3, 0.1, 0.1, 0.1]]), np.array([2]), LEARNT)
    assert last[0] == pytest.approx([0.0, 0.1, 0.7, 0.1, 0.1]), "from the last none advances"


def test_what_cannot_happen_takes_nothing_from_the_rest() -> None:
    found = causes.spread(np.array([[0.9, 0.1, 0.5, 0.1]]), np.array([2]), LEARNT)
    assert found[0] == pytest.approx([0.0, 0.1, 0.3, 0.5, 0.1])
    assert found.sum() == pytest.approx(1.0)
