"""The kinds of evidence against one column. Pure.

Tests are exact and corrected for how many are made (Bonferroni): the chance that as many rows of
one outcome come together is that of drawing them without replacement (Fisher 1935).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jobs.train.leaks.columns import MIN_ROWS, standard_error
from jobs.train.leaks.finding import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.train.leaks.columns import Column, Judge
    from jobs.train.leaks.finding import Verdict

CHANCE = 1e-3  # of one thing named in a search of columns that say nothing
MIN_LATER = 5  # rows whose value is from after T
FEW_LATER = 0.01  # of the values: fewer are slips of the keyboard
MIN_SIDE = 30  # rows that are filled, or empty
SURE_SIDE = 60  # for a leak: a sign that is right in 95 of 100 cases is so in 60 of 60 once in 20
ALL_BUT = 0.005  # of such rows with the other outcome: slips too
PURE = 0.08  # rows of a value with the other outcome
MOST = 0.5  # of either outcome in values that are pure: the column spells the outcome out
ERRORS = 4.0  # standard errors that an AUC stands clear by
STRONG, DECIDES = 0.8, 0.97  # AUC of one column
ABOVE_ALL = 0.03  # AUC above that of all weaker columns together
WEAKER = 0.03  # AUC: nearer ones may be copies


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A column with the AUC that it reaches alone."""

    column: Column
    auc: float

    @property
    def shown(self) -> str:
        """The AUC in words."""
        return f"alone it reaches AUC {self.auc:.3f}"


def known_later(known: np.ndarray, times: np.ndarray, is_told: bool) -> Evidence | None:
    """Find values from after T. `known` (n,) are moments in microseconds, NaN where empty: when
    each value became known, if the log told so, else the value itself, which may be a plan.
    """
    there = np.isfinite(known)
    later = int((known[there] > times[there]).sum())
    if later < MIN_LATER or later < FEW_LATER * there.sum():
        return None
    what = "became known after T" if is_told else "is a time after T"
    words = f"in {later:,} of {there.sum():,} filled rows the value {what}"
    return Evidence(kind="known later", verdict="leak" if is_told else "suspect", words=words)


def filled_by_outcome(column: Column, label: np.ndarray, tests: int) -> Evidence | None:
    """Find a column that is filled, or empty, for one outcome only.

    It is a leak if SURE_SIDE filled rows have the rarer outcome, or if both sides are pure; else it
    may be a sign that was known in time: who never visits never buys.
    """
    filled = column.is_filled
    sides = {"filled": _pure(filled, label, tests), "empty": _pure(~filled, label, tests)}
    pure = {side: outcome for side, outcome in sides.items() if outcome is not None}
    if not pure:
        return None
    is_rarer = filled.sum() >= SURE_SIDE and pure.get("filled") == int(label.mean() < 0.5)
    is_leak = len(pure) == 2 or is_rarer
    rates = [f"{filled[label == outcome].mean():.1%}" for outcome in (1, 0)]
    counts = [int((label == outcome).sum()) for outcome in (1, 0)]
    words = (
        f"filled in {rates[0]} of {counts[0]:,} positives and {rates[1]} of {counts[1]:,} negatives"
    )
    return Evidence(kind="filled by outcome", verdict="leak" if is_leak else "suspect", words=words)


def too_good(judged: Judged, others: Sequence[Judged], judge: Judge) -> Evidence | None:
    """Find a column that alone decides the outcome, or tells more than all weaker ones together.

    Columns about as strong are left aside: they may be copies of it.
    """
    error = standard_error(judged.auc, judge.label)
    clear = judged.auc - ERRORS * error
    if judged.auc >= DECIDES and clear > STRONG:
        return Evidence(kind="too good", verdict="leak", words=judged.shown)
    if judged.auc < STRONG:
        return None
    weaker = [each.column for each in others if each.auc < judged.auc - WEAKER]
    rest = judge.together(weaker)
    if clear <= rest + ABOVE_ALL:
        return None
    words = f"{judged.shown}, the {len(weaker)} weaker columns together {rest:.3f}"
    return Evidence(kind="too good", verdict="suspect", words=words)


def names_the_outcome(column: Column, label: np.ndarray, tests: int) -> Evidence | None:
    """Find a category some of whose values are for one outcome alone, and some for the other."""
    if not column.is_text:
        return None
    levels = {n: column.level == n for n in range(len(column.words))}
    pure = {outcome: _spelled(levels, label == outcome, tests) for outcome in (1, 0)}
    if not pure[1] or not pure[0]:
        return None
    shares = [sum(levels[n][label == outcome].mean() for n in pure[outcome]) for outcome in (1, 0)]
    words = f"{_example(column, label, pure[1])} and {_example(column, label, pure[0])}"
    words += (
        f"; such values hold {shares[0]:.0%} of the positives, {shares[1]:.0%} of the negatives"
    )
    verdict: Verdict = "leak" if min(shares) >= MOST else "suspect"
    return Evidence(kind="names the outcome", verdict=verdict, words=words)


def chance(rows: int, hits: int, total: int, positives: int) -> float:
    """Return the probability of at least `hits` positives among `rows` of `total` rows."""
    most = min(rows, positives)
    terms = [
        _log_choose(positives, k) + _log_choose(total - positives, rows - k)
        for k in range(max(hits, rows - (total - positives)), most + 1)
    ]
    return sum(math.exp(term - _log_choose(total, rows)) for term in terms)


def _pure(side: np.ndarray, label: np.ndarray, tests: int) -> int | None:
    """Return the outcome that all rows of a side have, beyond chance; None for both."""
    rows = int(side.sum())
    if not MIN_SIDE <= rows < len(label):
        return None
    outcome = int(label[side].mean() >= 0.5)
    hits = int((label[side] == outcome).sum())
    if rows - hits > ALL_BUT * rows:
        return None
    is_sure = chance(rows, hits, len(label), int((label == outcome).sum())) * tests < CHANCE
    return outcome if is_sure else None


def _spelled(levels: dict[int, np.ndarray], has: np.ndarray, tests: int) -> list[int]:
    """Return the levels of one outcome, the largest first."""
    found = [n for n, rows in levels.items() if _is_spelled(rows, has, tests)]
    return sorted(found, key=lambda n: -int(levels[n].sum()))


def _is_spelled(rows: np.ndarray, has: np.ndarray, tests: int) -> bool:
    count, hits = int(rows.sum()), int(has[rows].sum())
    if count < MIN_ROWS or count - hits > PURE * count:
        return False
    return chance(count, hits, len(has), int(has.sum())) * tests < CHANCE


def _example(column: Column, label: np.ndarray, levels: list[int]) -> str:
    rows = column.level == levels[0]
    return f"'{column.words[levels[0]]}' has {label[rows].mean():.1%} positives of {rows.sum():,}"


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
