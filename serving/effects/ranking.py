"""The gain of treating rows in an order, and its area over the diagonal."""

from __future__ import annotations

import numpy as np


def order(guess: np.ndarray) -> np.ndarray:
    """Return the places of rows, the highest guess first, ties as they lie."""
    return np.argsort(-guess, kind="stable")


def gains(
    order: np.ndarray, score: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return shares and what is gained by treating them, (n + 1,); weights sum to one."""
    share = np.append(0.0, np.cumsum(weight[order]))
    return share, np.append(0.0, np.cumsum((weight * score)[order]))


def area(share: np.ndarray, gain: np.ndarray) -> float:
    """Return the area between a gain curve and its diagonal."""
    return float((np.diff(share) * (gain[1:] + gain[:-1])).sum() / 2 - gain[-1] / 2)


def qini(guess: np.ndarray, score: np.ndarray) -> float:
    """Return the Qini coefficient of a ranking by scores of the effect, (n,)."""
    return area(*gains(order(guess), score, np.full(len(score), 1.0 / len(score))))


def plain_qini(guess: np.ndarray, value: np.ndarray, is_treated: np.ndarray) -> float:
    """Return the Qini coefficient by outcomes of two arms of a fair lot: the gain at share q is
    sum(treated y) / N_treated - sum(control y) / N_control over the best q.
    """
    treated, control = max(is_treated.sum(), 1), max((~is_treated).sum(), 1)
    score = np.where(is_treated, value / treated, -value / control) * len(value)
    return qini(guess, score)
