"""Planted data of the bench of effects: 12 features, a confounded action, and an effect that
depends on two of them (after setups A and C of Nie and Wager 2021, Biometrika 108, 299-319)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FEATURES, OUTCOMES = 12, 9  # as many outcomes and horizons as outreach has


class Data(NamedTuple):
    """Rows, and what is true of them."""

    features: np.ndarray  # (n, FEATURES) float32
    arm: np.ndarray  # (n,) int64
    value: np.ndarray  # (n, OUTCOMES) float64
    effect: np.ndarray  # (n, OUTCOMES) float64, the truth
    fold: np.ndarray  # (n,) int64


def drawn(n: int, seed: int, folds: int = 5) -> Data:
    """Return rows whose features drive action and outcome."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, FEATURES)).astype(np.float32)
    base = np.sin(np.pi * x[:, 0] * x[:, 1]) + 2 * (x[:, 2] - 0.5) ** 2 + x[:, 3] + 0.5 * x[:, 4]
    chance = np.clip(0.15 + 0.7 * np.sin(np.pi * x[:, 0] * x[:, 1]), 0.1, 0.9)
    size = np.linspace(0.5, 1.5, OUTCOMES)
    effect = ((x[:, 0] + x[:, 1]) / 2)[:, None] * size
    arm = (rng.random(n) < chance).astype(np.int64)
    value = base[:, None] + arm[:, None] * effect + rng.normal(0.0, 1.0, (n, OUTCOMES))
    return Data(x, arm, value, effect, rng.permutation(n) % folds)
