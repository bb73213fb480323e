"""Logistic regression with a normal prior, and how sure it is. Pure.

The posterior is Laplace's: normal around its mode, with the curvature there as precision
(MacKay 1992). With a flat prior the mode is the maximum of the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_STEPS = 50
_TINY = 1e-12
_PRECISION = 1e-7


@dataclass(frozen=True, kw_only=True)
class Normal:
    """A normal distribution of k coefficients."""

    mean: np.ndarray  # (k,)
    precision: np.ndarray  # (k, k)

    @classmethod
    def apart(cls, mean: list[float], sd: list[float]) -> Normal:
        """Return independent coefficients."""
        return cls(mean=np.array(mean), precision=np.diag(1 / np.square(sd)))

    @classmethod
    def flat(cls, size: int) -> Normal:
        """Return the prior that says next to nothing."""
        return cls(mean=np.zeros(size), precision=_TINY * np.eye(size))

    @property
    def covariance(self) -> np.ndarray:
        """(k, k)"""
        return np.asarray(np.linalg.inv(self.precision))

    def variance(self, design: np.ndarray) -> np.ndarray:
        """Return the variance of the log-odds of each row of `design` (n, k): (n,)."""
        return np.asarray(((design @ self.covariance) * design).sum(axis=1))


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What coefficients are learnt from."""

    design: np.ndarray  # (n, k)
    wanted: np.ndarray  # (n,) in [0, 1]
    weight: np.ndarray  # (n,)


def posterior(rows: Rows, prior: Normal, start: np.ndarray | None = None) -> Normal:
    """Return what is known of the coefficients after `rows`, by Newton's method from `start`.

    Each step is halved until the loss does not rise.
    """
    beta = prior.mean.copy() if start is None else start.copy()
    loss = _loss(rows, prior, beta)
    for _ in range(_STEPS):
        gradient, curvature = _slopes(rows, prior, beta)
        step = np.linalg.solve(curvature, gradient)
        while (found := _loss(rows, prior, beta + step)) > loss + _TINY * abs(loss):
            step /= 2
        beta, loss = beta + step, found
        if np.abs(step).max() < _PRECISION:
            break
    return Normal(mean=beta, precision=_slopes(rows, prior, beta)[1])


def not_negative(rows: Rows, prior: Normal, places: tuple[int, ...]) -> Normal:
    """Return the posterior where the coefficients at `places` are held at 0 when they would fall
    below it, the most negative first; the others are fitted without them.

    The precision is that of all: a coefficient at 0 is not known to be 0.
    """
    kept = list(range(len(prior.mean)))
    while True:
        found = posterior(
            Rows(design=rows.design[:, kept], wanted=rows.wanted, weight=rows.weight),
            Normal(mean=prior.mean[kept], precision=prior.precision[np.ix_(kept, kept)]),
        )
        below = [(found.mean[i], place) for i, place in enumerate(kept) if place in places]
        if not below or min(below)[0] >= 0:
            break
        kept.remove(min(below)[1])
    mode = np.zeros(len(prior.mean))
    mode[kept] = found.mean
    return Normal(mean=mode, precision=_slopes(rows, prior, mode)[1])


def chances(log_odds: np.ndarray) -> np.ndarray:
    """Return the probabilities of log-odds (n,), for fitting; what is served has its own."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))))


def losses(log_odds: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the log loss of each row (n,)."""
    return np.asarray(np.logaddexp(0, log_odds) - label * log_odds)


def _slopes(rows: Rows, prior: Normal, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p = chances(rows.design @ beta)
    gradient = rows.design.T @ (rows.weight * (rows.wanted - p))
    curvature = (rows.design * (rows.weight * p * (1 - p))[:, None]).T @ rows.design
    return gradient - prior.precision @ (beta - prior.mean), curvature + prior.precision


def _loss(rows: Rows, prior: Normal, beta: np.ndarray) -> float:
    away = beta - prior.mean
    fit = rows.weight @ losses(rows.design @ beta, rows.wanted)
    return float(fit + away @ prior.precision @ away / 2)
