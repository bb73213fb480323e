"""Causes: the chances of models that look at one cause each, put together to one row of moves.

Each model tells the chance that a week ends in its cause (advance, regress, won, lost), whatever
else may happen. Together they must leave a chance to stay; where they do not, all shrink alike.
"""

from __future__ import annotations

import numpy as np

from serving.forecast import moves

CAUSES = ("advance", "regress", "won", "lost")
LEAST_STAY = 0.01


def together(chances: np.ndarray) -> np.ndarray:
    """Return chances of staying and of each cause, float64 [n, 5], in the order of
    person.OUTCOMES, from those of the CAUSES, float64 [n, 4] between 0 and 1.
    """
    total = chances.sum(axis=-1, keepdims=True)
    fitting = chances * np.minimum(1.0, (1.0 - LEAST_STAY) / np.maximum(total, LEAST_STAY))
    return np.concatenate([1.0 - fitting.sum(axis=-1, keepdims=True), fitting], axis=-1)


def spread(chances: np.ndarray, stage: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Return the chances of each destination, float64 [n, stages + 2], from those of the CAUSES of
    units in some stages, int64 [n]: an advance leads to later stages, a regress to earlier ones, in
    the shares of the chances learnt, float64 [stages, stages + 2].

    What cannot happen, such as an advance from the last stage, takes no chance from the rest.
    """
    stages = len(learnt)
    place = np.arange(stages + 2)
    cause = np.where(place > np.arange(stages)[:, None], 0, 1)
    cause[:, stages:] = [2, 3]
    stay = np.eye(stages, stages + 2, dtype=bool)
    share = np.zeros((4, stages, stages + 2))
    for number in range(4):
        only = np.where((cause == number) & ~stay, learnt, 0.0)
        total = only.sum(axis=-1, keepdims=True)
        share[number] = np.where(total > 0.0, only / np.maximum(total, 1e-300), 0.0)
    possible = share.sum(axis=-1).T[stage] > 0.0
    told = together(np.where(possible, chances, 0.0))
    found = np.einsum("nc,cnd->nd", told[:, 1:], share[:, stage])
    found[np.arange(len(stage)), stage] += told[:, 0]
    return moves.shares(found)
