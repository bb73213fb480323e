"""How good the chances of single deals were: log loss, Brier, calibration by stage. Pure.

Calibration is the regression of what happened on the log odds of what was said: with slope 1 and
intercept 0 a chance means what it says; a slope below 1 says too much, an intercept above 0 too
little. Source: Cox, "Two further applications of a model for binary regression" (Biometrika 1958).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

COLUMNS = ("stage", "deals", "won", "log_loss", "brier", "slope", "intercept")
ALL = "all"
_CLIP = 1e-6  # a chance of 0 or 1 is judged as one of this much more or less
_STEPS, _PRECISION = 50, 1e-9


def judged(stage: np.ndarray, chance: np.ndarray, is_won: np.ndarray) -> pd.DataFrame:
    """Return one row of COLUMNS per stage and one of all, given arrays [deals]: the stage's name,
    the chance that was said, and whether the deal was won within the horizon.

    Slope and intercept are NaN where all or none were won, or the chances tell won from lost
    without an error.
    """
    names = [*pd.unique(np.asarray(stage, object)), ALL]
    rows = [_row(name, chance, is_won, _members(stage, name)) for name in names]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def calibration(chance: np.ndarray, is_won: np.ndarray) -> tuple[float, float]:
    """Return (slope, intercept) of what happened on the log odds of chances [deals]."""
    inside = np.clip(chance, _CLIP, 1.0 - _CLIP)
    logit, wanted = np.log(inside) - np.log1p(-inside), is_won.astype(float)
    return _fitted(np.stack([logit, np.ones(len(logit))], axis=1), wanted)


def losses(chance: np.ndarray, is_won: np.ndarray) -> np.ndarray:
    """Return the log loss of each deal, float64 [deals]."""
    inside = np.clip(chance, _CLIP, 1.0 - _CLIP)
    return np.asarray(-(is_won * np.log(inside) + (1.0 - is_won) * np.log1p(-inside)))


def curve(chance: np.ndarray, is_won: np.ndarray, bins: int = 8) -> pd.DataFrame:
    """Return how many of the deals [deals] with about the same chance were won: columns chance
    (mean), share, error (standard error of the share by chance alone), deals; bins hold as many.
    """
    order = np.argsort(chance, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    said = [float(chance[part].mean()) for part in parts]
    share = [float(is_won[part].mean()) for part in parts]
    error = [(p * (1.0 - p) / len(part)) ** 0.5 for p, part in zip(said, parts, strict=True)]
    count = [len(part) for part in parts]
    return pd.DataFrame({"chance": said, "share": share, "error": error, "deals": count})


def _members(stage: np.ndarray, name: object) -> np.ndarray:
    return np.ones(len(stage), bool) if name == ALL else np.asarray(stage == name)


def _row(
    name: object, chance: np.ndarray, is_won: np.ndarray, members: np.ndarray
) -> tuple[object, ...]:
    said, came = chance[members], is_won[members].astype(float)
    loss, brier = float(losses(said, came).mean()), float(((said - came) ** 2).mean())
    return name, len(said), int(came.sum()), loss, brier, *calibration(said, came)


def _fitted(design: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """Return the logistic regression by Newton's method; NaN where it runs away."""
    found = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        chance = 0.5 + 0.5 * np.tanh(0.5 * (design @ found))  # the logistic function
        curve = (design * (chance * (1.0 - chance))[:, None]).T @ design
        if np.linalg.cond(curve) > 1.0 / np.finfo(float).eps:
            break
        move = np.linalg.solve(curve, design.T @ (wanted - chance))
        found = found + move
        if np.abs(move).max() < _PRECISION:
            return float(found[0]), float(found[1])
    return np.nan, np.nan
