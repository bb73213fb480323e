"""Whom an action helps most: the DR-learner, and rankings scored by rows that it never saw.

The second stage regresses the difference of doubly robust scores on the features (Kennedy 2023,
Electron. J. Statist. 17, 3008-3049). Beside it stand the difference of the outcome models, the
outcome expected on average, and the best linear predictor of the score by all of these
(Chernozhukov et al. 2018, NBER 24678). Of the four the simplest ranking is taken that is as good as
the best among the rows learnt from, but for chance, put on the scale of the effect by least
squares.

Every guess is made apart: for the rows of fold k nothing is learnt from fold k, and the scores that
the second stage learns from of fold j come from outcome models that saw neither j nor k.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.effects import nuisances, scores
from serving.effects.nuisances import FOLDS, Asked, Fit, Recipe
from serving.effects.ranking import order

if TYPE_CHECKING:
    from serving.effects.measured import Measured
    from serving.effects.nuisances import Run

REPEATS = 3
SECOND = Recipe(rounds=80, depth=1, rate=0.1, leaf=100.0)  # additive: scores are noisy

SIMPLEST = (2, 0, 1, 3)  # what is expected on average; second stage; difference; all together

type Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One outcome of rows whose arms were drawn by known, or fitted, chances."""

    asked: Asked  # with this outcome as its only one
    chance: np.ndarray  # (n, arms)
    cluster: np.ndarray
    of: Measured
    is_certain: bool = True  # chances by lot, so that plain means may be told too


class Ranked(NamedTuple):
    """A guess of every row's effect, and its score, made apart; (n,)."""

    guess: np.ndarray
    place: np.ndarray  # among all, the best nearest 0
    score: np.ndarray


def ranked(case: Case, arm: int, rng: np.random.Generator, run: Run) -> list[Ranked]:
    """Return the guesses of the effect of an arm against the control, repeat by repeat."""
    folds = [nuisances.folds(case.cluster, rng) for _ in range(REPEATS)]
    return [_ranked(case, arm, fold, run) for fold in folds]


def _ranked(case: Case, arm: int, fold: np.ndarray, run: Run) -> Ranked:
    expected = _expected(case, arm, fold, run)
    contrast = {pair: _contrast(case, arm, guess) for pair, guess in expected.items()}
    seconds = _seconds(case, arm, fold, contrast, run)
    found = Ranked(*(np.empty(len(fold)) for _ in Ranked._fields))
    for k in range(FOLDS):
        mine = fold == k
        guess = _chosen(fold, k, expected, contrast, seconds)
        found.guess[mine] = guess
        found.place[mine] = within(guess)
        found.score[mine] = contrast[k, k][mine]
    return found


def within(guess: np.ndarray) -> np.ndarray:
    """Return the place of each guess among all, in (0, 1), the highest nearest 0.

    Rows are ranked within their fold: what is learnt without a fold of good luck expects less, so
    that between folds the order of guesses runs against that of the outcomes.
    """
    found = np.empty(len(guess))
    found[order(guess)] = (np.arange(len(guess)) + 0.5) / len(guess)
    return found


def _expected(case: Case, arm: int, fold: np.ndarray, run: Run) -> dict[Pair, np.ndarray]:
    """Return for folds j <= k what models that saw neither say of the rows of both: (n, 2), the
    control and the arm; what is not asked about is NaN.
    """
    pairs = list(combinations_with_replacement(range(FOLDS), 2))
    tasks = [
        case.asked.task(~np.isin(fold, pair), np.isin(fold, pair), each)
        for pair in pairs
        for each in (0, arm)
    ]
    found = {pair: np.full((len(fold), 2), np.nan) for pair in pairs}
    for number, guess in enumerate(run(case.asked.features, tasks)):
        found[pairs[number // 2]][tasks[number].asked, number % 2] = guess[:, 0]
    return {**found, **{(k, j): guess for (j, k), guess in found.items()}}


def _contrast(case: Case, arm: int, expected: np.ndarray) -> np.ndarray:
    """Return the score of the difference of two arms, (n,); NaN where nothing is expected."""
    code = np.where(case.asked.arm == arm, 1, np.where(case.asked.arm == 0, 0, -1))
    both = scores.scores(case.of, code, case.chance[:, [0, arm]], expected)
    return np.asarray(both[:, 1] - both[:, 0])


def _seconds(
    case: Case, arm: int, fold: np.ndarray, contrast: dict[Pair, np.ndarray], run: Run
) -> dict[Pair, np.ndarray]:
    """Return for folds (j, k) what the second stage that saw neither says of the rows of j."""
    pairs = [(j, k) for j in range(FOLDS) for k in range(FOLDS)]
    tasks = []
    for j, k in pairs:
        train = np.flatnonzero((fold != j) & (fold != k))
        value = np.empty((len(train), 1))
        for other in np.unique(fold[train]):
            mine = fold[train] == other
            value[mine, 0] = contrast[int(other), k][train[mine]]
        weight = precision(case.chance[train][:, [0, arm]])[:, None]
        tasks.append(
            Fit(train=train, asked=np.flatnonzero(fold == j), value=value, weight=weight,
                recipe=SECOND)
        )  # fmt: skip
    return {
        pair: guess[:, 0]
        for pair, guess in zip(pairs, run(case.asked.features, tasks), strict=True)
    }


def precision(chance: np.ndarray) -> np.ndarray:
    """Return how much a score of the difference of two arms says, by their chances (n, 2): the
    inverse of its variance where outcomes vary alike, mean 1 (Fisher and Fisher 2023, arXiv
    2308.06373).
    """
    found = 1.0 / (1.0 / chance).sum(axis=1)
    return np.asarray(found / found.mean())


def _chosen(
    fold: np.ndarray,
    k: int,
    expected: dict[Pair, np.ndarray],
    contrast: dict[Pair, np.ndarray],
    seconds: dict[Pair, np.ndarray],
) -> np.ndarray:
    """Return the guess for the rows of fold k."""
    others = [j for j in range(FOLDS) if j != k]
    design = {j: _guesses(fold, (j, k), expected, seconds) for j in (*others, k)}
    value = {j: contrast[j, k][fold == j] for j in others}
    candidates = {j: _candidates(design, value, j) for j in (*others, k)}
    places = np.concatenate([np.apply_along_axis(within, 0, candidates[j]) for j in others])
    score = np.concatenate([value[j] for j in others])
    best = simplest(places, score)
    learnt = np.concatenate([candidates[j][:, best] for j in others])
    return _scaled(learnt, score, candidates[k][:, best])


def simplest(places: np.ndarray, score: np.ndarray) -> int:
    """Return the simplest ranking, of those whose places are (n, rankings), that is within one
    standard error of the best (the rule of Breiman et al. 1984, section 3.4.3). The Qini
    coefficient is the mean of score (1/2 - place).
    """
    parts = score[:, None] * (0.5 - places)
    best = int(np.argmax(parts.mean(axis=0)))
    lost = parts[:, [best]] - parts
    error = lost.std(axis=0) / np.sqrt(len(score))
    return next(n for n in SIMPLEST if lost[:, n].mean() <= error[n])


def _candidates(design: dict[int, np.ndarray], value: dict[int, np.ndarray], j: int) -> np.ndarray:
    """Return rankings of the rows of fold j: what is guessed, and the best linear predictor by the
    scores of other folds.
    """
    apart = [n for n in value if n != j]
    stack = _least_squares(
        np.concatenate([design[n] for n in apart]), np.concatenate([value[n] for n in apart])
    )
    return np.column_stack([design[j][:, 1:], design[j] @ stack])


def _guesses(
    fold: np.ndarray, pair: Pair, expected: dict[Pair, np.ndarray], seconds: dict[Pair, np.ndarray]
) -> np.ndarray:
    """Return, of the rows of the first of two folds, what saw neither says: (m, 4), a constant,
    the second stage, the difference of the outcome models, and their mean.
    """
    first, second = expected[pair][fold == pair[0]], seconds[pair]
    ones = np.ones(len(second))
    return np.column_stack([ones, second, first[:, 1] - first[:, 0], first.mean(axis=1)])


def _least_squares(design: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return weights of the columns (a constant, then guesses), that of the second and third not
    below 0: the best of all subsets.
    """
    best, found = np.inf, np.zeros(design.shape[1])
    for kept in ((0, 1, 2, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2), (0, 1), (0, 2), (0, 3), (0,)):
        columns = list(kept)
        weight = np.linalg.lstsq(design[:, columns], value, rcond=None)[0]
        if any(w < 0 for c, w in zip(columns, weight, strict=True) if c in {1, 2}):
            continue
        left = float(((value - design[:, columns] @ weight) ** 2).sum())
        if left < best:
            best, found = left, np.zeros(design.shape[1])
            found[columns] = weight
    return found


def _scaled(ranking: np.ndarray, value: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return a ranking as an effect, by the line through scores; it never turns round."""
    spread = float(((ranking - ranking.mean()) ** 2).sum())
    slope = float(((ranking - ranking.mean()) * value).sum()) / spread if spread > 0 else 0.0
    if slope <= 0.0:  # keep the order, which is told, but no difference worth acting on
        slope = 1e-9
    return np.asarray(value.mean() + slope * (asked - ranking.mean()))


def of_outcome(asked: Asked, place: int) -> Asked:
    """Return the same with one of the outcomes alone."""
    chosen = slice(place, place + 1)
    return replace(asked, value=asked.value[:, chosen], weight=asked.weight[:, chosen])
