"""Coverage is counted, and its standard error is that of origins that share their luck."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.errors import Refusal
from serving.forecast import covered


def _measured(held: np.ndarray, overlap: int = 0, level: float = 0.9) -> covered.Coverage:
    found = covered.measured(np.asarray(held, float), level, overlap)
    assert isinstance(found, covered.Coverage)
    return found


@pytest.mark.parametrize(("count", "points"), [(20, 6.7), (100, 3.0), (400, 1.5)])
def test_the_error_of_independent_origins_is_the_binomial_one(count: int, points: float) -> None:
    """At 90 %, with every tenth missed: the origins apart, so as many as there are."""
    held = (np.arange(count) % 10 > 0)[:, None]
    found = _measured(held)
    assert found.share == 0.9
    assert round(100 * found.plain_error, 1) == points
    assert found.error == pytest.approx(found.plain_error, rel=0.03)


def test_what_is_not_known_is_not_counted() -> None:
    held = np.array([[1.0, np.nan], [np.nan, np.nan], [0.0, 1.0]])
    found = _measured(held)
    assert (found.intervals, found.held, found.origins) == (3, 2, 2)
    assert isinstance(covered.measured(np.full((4, 2), np.nan), 0.9, 0), Refusal)


def test_when_all_held_the_error_is_that_of_origins_apart() -> None:
    """It does not vanish: 12 origins, each of which shares steps with the 3 after it, are 3."""
    found = _measured(np.ones((12, 2)), overlap=3)
    assert found.effective == 3
    assert found.error == pytest.approx(np.sqrt(0.09 / 3))
    assert str(found) == (
        "90% intervals held 24 of 24 outcomes: 100.0% ± 17.3 points, from 12 origins"
    )


def test_origins_too_few_for_their_overlap_say_as_much_as_those_apart() -> None:
    """Twelve origins of which each shares steps with the seven after it are two."""
    assert _measured(np.arange(12)[:, None] > 0, overlap=7).effective == 2
    assert _measured(np.arange(5)[:, None] > 0, overlap=7).effective == 1


def _worlds(overlap: int, parts: int) -> tuple[float, float, float]:
    """Return the true standard error of the coverage of 60 origins over 400 worlds, and the mean
    of those stated, with and without allowing for overlap; outcomes of an origin share half of
    their variance.
    """
    rng = np.random.default_rng(3)
    found = []
    for _ in range(400):
        steps = rng.normal(size=(60 + overlap, 1)) + rng.normal(size=(60 + overlap, parts))
        sums = np.stack([np.convolve(s, np.ones(overlap + 1), "valid") for s in steps.T], axis=1)
        found.append(_measured(np.abs(sums) < 1.645 * np.sqrt(2.0 * (overlap + 1)), overlap))
    errors = [np.mean([getattr(each, name) for each in found]) for name in ("error", "plain_error")]
    return float(np.std([each.share for each in found])), float(errors[0]), float(errors[1])


@pytest.mark.parametrize(("overlap", "parts"), [(0, 1), (0, 4), (3, 1), (7, 1), (7, 4)])
def test_the_error_is_about_the_true_one(overlap: int, parts: int) -> None:
    """Within a fifth; the plain one is far too small where origins overlap."""
    true, stated, plain = _worlds(overlap, parts)
    assert 0.8 * true < stated < 1.2 * true, f"true {true:.4f} stated {stated:.4f}"
    if overlap == 7:
        assert plain < 0.75 * true
