"""Curves: monotone corrections of a blended score, the simplest that will do. Pure.

Platt leaves the score as it is: the blend was his regression. Beta (Kull, Silva Filho & Flach 2017)
bends the two ends apart from each other. Isotonic goes straight from centre to centre of the steps
of an isotonic fit (centred, Oron & Flournoy 2017), each of MIN_STEP_ROWS or more.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from sklearn.isotonic import IsotonicRegression

from jobs.train.calibration import logistic
from jobs.train.calibration.logistic import Normal, Rows
from serving.calibrator import LOGIT_LIMIT, Bend

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_STEP_ROWS = 50
BETA_SD = 0.5  # prior standard deviation of beta's two slopes around 1 and of its shift around 0
BETA_BENDS = np.array([-30, -8, -6, -5, *np.arange(-4, 4.25, 0.25), 5, 6, 8, 30])

type Curve = tuple[Bend, ...]


def platt(score: np.ndarray, label: np.ndarray, weight: float) -> Curve:
    """Return the curve that changes nothing."""
    return ()


def beta(score: np.ndarray, label: np.ndarray, weight: float) -> Curve:
    """Return a * ln s(x) - b * ln s(-x) + c with a, b >= 0, where s is the sigmoid, tabulated."""
    design = _beta_design(score)
    rows = Rows(design=design, wanted=label, weight=np.full(len(label), weight))
    found = logistic.not_negative(rows, Normal.apart([1, 1, 0], [BETA_SD] * 3), (0, 1))
    logit = np.clip(_beta_design(BETA_BENDS) @ found.mean, -LOGIT_LIMIT, LOGIT_LIMIT)
    return _rising(BETA_BENDS, logit)


def isotonic(score: np.ndarray, label: np.ndarray, weight: float) -> Curve:
    """Return the line through the centres of the steps; level outside them."""
    order = np.argsort(score, kind="stable")
    x, y = score[order], label[order].astype(np.float64)
    ends = _joined(_steps(x, y))
    parts = [slice(a, b) for a, b in itertools.pairwise([0, *ends])]
    centre = np.array([x[part].mean() for part in parts])
    hits = np.array([y[part].sum() for part in parts])
    size = np.array([part.stop - part.start for part in parts])
    rate = (hits + 0.5) / (size + 1)
    return _rising(centre, np.log(rate / (1 - rate)))


# the simplest first
CURVES: dict[str, Callable[[np.ndarray, np.ndarray, float], Curve]] = {
    "Platt": platt,
    "beta": beta,
    "isotonic": isotonic,
}


def _beta_design(score: np.ndarray) -> np.ndarray:
    above, below = -np.logaddexp(0, -score), np.logaddexp(0, score)
    return np.stack([above, below, np.ones(len(score))], axis=1)


def _steps(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Return where the steps of the isotonic fit of sorted rows end."""
    fitted = IsotonicRegression().fit_transform(x, y)
    ends: list[int] = (np.flatnonzero(np.append(np.diff(fitted) > 0, True)) + 1).tolist()
    return ends


def _joined(ends: list[int]) -> list[int]:
    """Return the ends of steps of MIN_STEP_ROWS or more; what is left over belongs to the last."""
    kept: list[int] = []
    for end in ends:
        if end - (kept[-1] if kept else 0) >= MIN_STEP_ROWS:
            kept.append(end)
    return [*kept[:-1], ends[-1]]


def _rising(score: np.ndarray, logit: np.ndarray) -> Curve:
    level = np.maximum.accumulate(logit).tolist()
    distinct = np.append(np.diff(score) > 0, True)
    return tuple(
        Bend(score=s, logit=y)
        for s, y, is_last in zip(score.tolist(), level, distinct.tolist(), strict=True)
        if is_last
    )
