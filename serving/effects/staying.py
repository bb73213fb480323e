"""The chance to be followed for so long, by XGBoost where features tell of it.

How long a row was followed is known of every row, also of those to whom the outcome came first. The
time up to the longest horizon is cut into intervals with as many censored rows in each, and the
chance to be censored in an interval, of those followed until it, is learnt arm by arm without the
row's own fold: a hazard in discrete time (Singer and Willett 1993, J. Educ. Statist. 18, 155-195;
Robins and Finkelstein 2000, Biometrics 56, 779-788, for the weights). Within an interval rows are
censored as all of their arm are.

Kaplan and Meier's estimate stays where fewer than LEAST_CENSORED rows of an arm are censored,
where the features do not foretell censoring of rows that were not learnt from, and where some rows
have hardly any like them that were followed (a feature that tells when a row came, so that all who
came late are censored): no weight can stand for these (positivity: Cole and Hernan 2008, Am. J.
Epidemiol. 168, 656-664), and weights that are cut would hide it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serving.effects import scores
from serving.effects.nuisances import Fit, Recipe

if TYPE_CHECKING:
    from serving.effects.nuisances import Run
    from serving.effects.rows import Rows

INTERVALS = 6
LEAST_CENSORED = 100
LEAST_CHANCE = 0.05  # to be followed: a row stands for at most 20
MOST_CUT = 0.03  # of an arm: rows whose chance is lower than that
MOST_OFF = 0.1  # of the mean weight of an arm from 1
CLEAR_Z = 2.0  # by which the features must foretell censoring better than the arm alone
LEAST_HAZARD = 1e-4
RECIPE = Recipe()


@dataclass(frozen=True, kw_only=True, eq=False)
class Staying:
    """The chance of each row to be followed, at the edges of intervals and between them."""

    arm: np.ndarray  # (n,) int64
    followed: tuple[np.ndarray, ...]  # by arm: days, sorted
    edges: tuple[np.ndarray, ...]  # by arm: (INTERVALS + 1,) days, from 0
    hazard: np.ndarray  # (n, INTERVALS)

    def at(self, time: np.ndarray) -> np.ndarray:
        """Return the chance of each row to be followed for its `time` (n,), up to the last edge."""
        found = np.empty(len(time))
        for each, edges in enumerate(self.edges):
            mine = self.arm == each
            spent = _spent(self.followed[each], edges, time[mine])
            found[mine] = np.exp((np.log1p(-self.hazard[mine]) * spent).sum(axis=1))
        return np.maximum(found, LEAST_CHANCE)

    def is_covered(self, followed: np.ndarray, h: float) -> bool:
        """Were some like each row followed for h, so that those who were stand for all?"""
        chance = self.at(np.full(len(followed), h))
        weight, cut = np.where(followed >= h, 1.0 / chance, 0.0), chance <= LEAST_CHANCE
        return all(
            abs(weight[self.arm == each].mean() - 1.0) <= MOST_OFF
            and cut[self.arm == each].mean() <= MOST_CUT
            for each in range(len(self.edges))
        )


def staying(rows: Rows, fold: np.ndarray, run: Run, h: float) -> Staying | None:
    """Return the chance of rows to be followed for up to h days; None where Kaplan and Meier's
    estimate says as much.
    """
    assert rows.features is not None
    arms = range(len(rows.arms))
    left = [rows.followed[(rows.arm == each) & (rows.followed < h)] for each in arms]
    if min(map(len, left)) < LEAST_CENSORED:
        return None
    edges = tuple(_edges(days, h) for days in left)
    tasks = [
        _task(rows, (rows.arm == arm) & (fold != k), (rows.arm == arm) & (fold == k), edges[arm])
        for k in range(int(fold.max()) + 1)
        for arm in arms
    ]
    hazard, alone = (np.empty((len(rows), INTERVALS)) for _ in range(2))
    for task, guess in zip(tasks, run(rows.features, tasks), strict=True):
        hazard[task.asked] = np.clip(guess, LEAST_HAZARD, 1.0 - LEAST_HAZARD)
        alone[task.asked] = _mean(task)
    if not _is_foretold(rows, edges, hazard, alone):
        return None
    sorted_ = tuple(np.sort(rows.followed[rows.arm == each]) for each in arms)
    return Staying(arm=rows.arm, followed=sorted_, edges=edges, hazard=hazard)


def _edges(left: np.ndarray, h: float) -> np.ndarray:
    inner = np.quantile(left, np.arange(1, INTERVALS) / INTERVALS)
    return np.concatenate([[0.0], inner, [h]])


def _censored(followed: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return in which intervals each row was censored, and to which it was followed: (n,
    INTERVALS).
    """
    days = followed[:, None]
    return (days >= edges[:-1]) & (days < edges[1:]), days >= edges[:-1]


def _task(rows: Rows, train: np.ndarray, asked: np.ndarray, edges: np.ndarray) -> Fit:
    came, there = _censored(rows.followed[train], edges)
    return Fit(
        train=np.flatnonzero(train),
        asked=np.flatnonzero(asked),
        value=came.astype(np.float64),
        weight=there.astype(np.float64),
        recipe=RECIPE,
        is_chance=True,
    )


def _mean(task: Fit) -> np.ndarray:
    total = np.maximum(task.weight.sum(axis=0), 1.0)
    mean = (task.weight * task.value).sum(axis=0) / total
    return np.asarray(np.clip(mean, LEAST_HAZARD, 1.0 - LEAST_HAZARD))


def _is_foretold(
    rows: Rows, edges: tuple[np.ndarray, ...], hazard: np.ndarray, alone: np.ndarray
) -> bool:
    """Do the features make what was seen of rows not learnt from more likely than the arm does?"""
    gain = np.empty(len(rows))
    for each, cut in enumerate(edges):
        mine = rows.arm == each
        came, there = _censored(rows.followed[mine], cut)
        ours, theirs = (_log(came, there, of[mine]) for of in (hazard, alone))
        gain[mine] = ours - theirs
    return scores.average(gain, rows.cluster).z > CLEAR_Z


def _log(came: np.ndarray, there: np.ndarray, hazard: np.ndarray) -> np.ndarray:
    each = np.where(came, np.log(hazard), np.log1p(-hazard))
    return np.asarray((there * each).sum(axis=1))


def _spent(followed: np.ndarray, edges: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return which part of each interval is behind a time, as rows of an arm are censored: (n,
    INTERVALS), 0 to 1.
    """
    log_edges = _log_share(followed, edges)
    whole = np.maximum(log_edges[:-1] - log_edges[1:], 1e-12)
    behind = log_edges[:-1] - _log_share(followed, time)[:, None]
    return np.asarray(np.clip(behind / whole, 0.0, 1.0))


def _log_share(followed: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return the log of the share that was followed for a time or longer."""
    left = len(followed) - np.searchsorted(followed, time, side="left")
    return np.asarray(np.log(np.maximum(left, 0.5) / len(followed)))
