"""Which rows may speak: logged chances that fit the lots, or fitted ones with overlap; and what
experiment would answer where they may not.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import Refusal
from serving.effects import nuisances, scores
from serving.effects.nuisances import Asked
from serving.forecast.evidence import Grade

if TYPE_CHECKING:
    from serving.effects.nuisances import Run
    from serving.effects.rows import Rows

LOWEST = 0.05  # a fitted chance of an arm below it is trimmed: Crump et al. 2009, Biometrika 96
MOST_TRIMMED = 0.5
LEAST_ROWS = 30  # of an arm, as many as its weights are worth
LEAST_EVENTS = 10  # of an arm: below it the normal approximation of a log rate is poor
MISFIT_Z = 4.5  # of logged chances against the lots that were drawn
MOVED_Z = 4.0  # of an outcome from before the action
Z_BOTH, Z_POWER = 1.6448536269514722, 0.8416212335729143  # 90 % interval, power 80 %
LATELY_DAYS = 91
BINS = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """The rows that count, and the chances by which they are weighted."""

    rows: Rows
    chance: np.ndarray  # (n, arms)
    grade: Grade
    drawn: int  # lots that were there
    trimmed: int  # left out for want of overlap, or of a chance
    histogram: tuple[tuple[int, ...], ...]  # by arm: rows by their chance of treatment, BINS bins

    @property
    def share_trimmed(self) -> float:
        """Of the lots."""
        return self.trimmed / max(self.drawn, 1)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What would answer: how many in each arm, and for how long."""

    per_arm: int
    weeks: int
    rate: float  # of the outcome without the action
    ratio: float  # that it finds

    def __str__(self) -> str:
        return (
            f"randomise: {self.per_arm:,} in each arm, about {self.weeks:,} weeks at the present"
            f" rate, find a ratio of {self.ratio:g} to a base rate of {self.rate:.1%} with power"
            " 80 %"
        )


def logged(rows: Rows) -> np.ndarray:
    """Return which rows have a logged chance of each arm, all of them above 0 and below 1."""
    is_inside = np.isfinite(rows.chance) & (rows.chance > 0.0) & (rows.chance < 1.0)
    return np.asarray(is_inside.all(axis=1))


def by_lot(rows: Rows) -> Basis | Refusal:
    """Return the rows with logged chances; a Refusal when these do not fit what was drawn."""
    there = logged(rows)
    kept = rows.filter(there)
    worst = max((abs(z) for z in misfit(kept)), default=0.0)
    if worst > MISFIT_Z:
        return Refusal(
            rule="logged propensities must fit the arms that were drawn",
            value=f"a deviation of {worst:.1f} standard errors",
            remedy="mend what logs them, or leave them out and take the lots for observational",
        )
    return _basis(kept, kept.chance, Grade.RANDOMISED, len(rows), histogram(kept, kept.chance))


def misfit(rows: Rows) -> list[float]:
    """Return how many standard errors the number of each arm is off its logged chances, over all
    rows and in each half of them by that chance: the lots are drawn one by one.
    """
    found = []
    for arm in range(1, len(rows.arms)):
        chance, drawn = rows.chance[:, arm], rows.arm == arm
        middle = np.median(chance) if len(chance) else 0.0
        for part in (chance >= 0.0, chance <= middle, chance > middle):
            spread = float((chance[part] * (1.0 - chance[part])).sum())
            if spread > 0.0:
                off = float(drawn[part].sum() - chance[part].sum())
                found.append(off / np.sqrt(spread))
    return found


def by_history(rows: Rows, fold: np.ndarray, run: Run) -> Basis:
    """Return the rows whose fitted chances overlap; trimmed by them."""
    assert rows.features is not None
    none = np.zeros((len(rows), 1))
    asked = Asked(features=rows.features, arm=rows.arm, arms=len(rows.arms), value=none,
                  weight=none, recipe=nuisances.CHANCE)  # fmt: skip
    chance = nuisances.chances(asked, fold, run)
    there = (chance >= LOWEST).all(axis=1)
    seen = histogram(rows, chance)
    return _basis(rows.filter(there), chance[there], Grade.OBSERVATIONAL, len(rows), seen)


def _basis(
    rows: Rows,
    chance: np.ndarray,
    grade: Grade,
    drawn: int,
    seen: tuple[tuple[int, ...], ...],
) -> Basis:
    return Basis(
        rows=rows, chance=chance, grade=grade, drawn=drawn, trimmed=drawn - len(rows),
        histogram=seen,
    )  # fmt: skip


def histogram(rows: Rows, chance: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Return, by arm, how many rows have which chance not to be in the control arm."""
    edges = np.linspace(0.0, 1.0, BINS + 1)
    return tuple(
        tuple(int(c) for c in np.histogram(1.0 - chance[rows.arm == arm, 0], edges)[0])
        for arm in range(len(rows.arms))
    )


def worth(basis: Basis) -> list[float]:
    """Return how many rows each arm is worth: (sum w)^2 / sum w^2 (Kish 1965)."""
    found = []
    for arm in range(len(basis.rows.arms)):
        weight = 1.0 / basis.chance[basis.rows.arm == arm, arm]
        found.append(float(weight.sum() ** 2 / (weight**2).sum()) if len(weight) else 0.0)
    return found


def overlapping(basis: Basis, experiment: Experiment) -> Refusal | None:
    """Return why the arms cannot be compared, if they cannot."""
    worths = worth(basis)
    if basis.grade is Grade.OBSERVATIONAL and basis.share_trimmed > MOST_TRIMMED:
        return Refusal(
            rule=f"treated and control must overlap in at least {1 - MOST_TRIMMED:.0%} of rows",
            value=f"{1 - basis.share_trimmed:.0%} with a chance of each arm of {LOWEST:.0%} or"
            " more",
            remedy=str(experiment),
        )
    if min(worths) < LEAST_ROWS:
        return Refusal(
            rule=f"each arm must be worth at least {LEAST_ROWS} rows",
            value=f"{min(worths):.0f}",
            remedy=str(experiment),
        )
    return None


def experiment(rows: Rows, happened: np.ndarray, horizon: float, ratio: float) -> Experiment:
    """Return the experiment that would find a ratio to the rate of an outcome, (n,) bool.

    Two proportions, normal approximation (Fleiss, Levin and Paik 2003, chapter 4), times the design
    effect of clusters as seen in the outcome.
    """
    control = rows.arm == 0
    base = happened[control] if control.any() else happened
    rate = float(np.clip(base.mean() if len(base) else 0.0, 0.5 / max(len(base), 1), 0.5))
    other = min(rate * ratio, 0.99)
    spread = rate * (1 - rate) + other * (1 - other)
    size = (Z_BOTH + Z_POWER) ** 2 * spread / (other - rate) ** 2
    per_arm = ceil(size * _design(happened.astype(np.float64), rows.cluster))
    weeks = per_arm * len(rows.arms) / max(per_week(rows), 1e-9) + horizon / 7
    return Experiment(per_arm=per_arm, weeks=ceil(min(weeks, 1e6)), rate=rate, ratio=ratio)


def per_week(rows: Rows) -> float:
    """Return how many entities come a week, of late."""
    if not len(rows):
        return 0.0
    day = 86_400_000_000
    newest, oldest = rows.time.max(), rows.time.min()
    days = min(LATELY_DAYS, (newest - oldest) / day)
    return float((rows.time > newest - LATELY_DAYS * day).sum() * 7 / max(days, 7.0))


def _design(value: np.ndarray, cluster: np.ndarray) -> float:
    """Return by how much clusters raise the variance of a mean, at least 1."""
    if len(value) < 2 or np.ptp(value) == 0.0:
        return 1.0
    off = value - value.mean()
    alone = scores.error(off, np.arange(len(off)))
    return max(1.0, (scores.error(off, cluster) / alone) ** 2)


def e_value(ratio: float) -> float:
    """Return the E-value of a ratio of risks: how strongly a hidden cause must go with both action
    and outcome, as ratios of risks, to explain it away (VanderWeele and Ding 2017, Ann. Intern.
    Med. 167, 268-274).

    >>> round(e_value(2.0), 3)
    3.414
    """
    above = max(ratio, 1.0 / ratio)
    return above + float(np.sqrt(above * (above - 1.0)))


def e_value_of_limit(low: float, high: float) -> float:
    """Return the E-value of the limit of an interval that is nearer to 1; 1 if it holds 1."""
    if low <= 1.0 <= high:
        return 1.0
    return e_value(low if low > 1.0 else high)
