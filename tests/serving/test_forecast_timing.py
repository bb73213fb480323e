"""Timing: who is won earlier, later, here alone or there alone, counted unit by unit."""

from __future__ import annotations

import numpy as np
import pytest

from serving.forecast.timing import counts, timing


def test_each_unit_is_counted_once() -> None:
    there = np.array([[0, 3, 3, 5, 0, 4], [2, 2, 0, 0, 0, 0]], np.uint16)
    here = np.array([[2, 1, 3, 7, 0, 0], [0, 1, 0, 0, 1, 0]], np.uint16)
    assert counts(there, here).tolist() == [[1, 1, 1, 1, 0, 3], [1, 0, 1, 1, 1, 1]]
    assert timing(counts(there, here)) == pytest.approx((1.0, 0.5, 1.0, 1.0, 0.25))


def test_the_same_outcome_has_no_timing() -> None:
    same = np.random.default_rng(0).integers(0, 9, (20, 30)).astype(np.uint16)
    assert timing(counts(same, same)) == (0.0, 0.0, 0.0, 0.0, 0.0)
    none = np.zeros((4, 0), np.uint16)
    assert timing(counts(none, none)) == (0.0, 0.0, 0.0, 0.0, 0.0)
