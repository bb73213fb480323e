"""How good a model is in each group of the later rows: by segment, by period, and, for fairness, by
attributes that a target declares. Pure; plain JSON values out.

Intervals are 95 % from sums per cluster (account), whose rows are not independent: the variance of
a mean over clusters (Cameron & Miller 2015, with the factor G / (G - 1)).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from jobs.train.calibration.band import Z95

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.train.evaluate import Json, Judged

MIN_ROWS, MIN_CLASS = 50, 10  # of a group that is judged; of each outcome for its AUC
MOST = 12  # groups of one kind, the largest; all others are "(other)"
OTHER, NONE = "(other)", "(none)"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows that a scorer is judged on."""

    scorer: Judged
    clusters: np.ndarray  # (n,) int64
    threshold: float  # of the probability, from which one acts

    def judged(self, mine: np.ndarray) -> Json:
        """Judge those of the rows that are in a group: (n,) bool."""
        label, probability = self.scorer.label[mine], self.scorer.probability[mine]
        clusters, positive = self.clusters[mine], label > 0
        taken = (probability >= self.threshold).astype(np.float64)
        return {
            "rows": len(label),
            "positives": int(label.sum()),
            "rate": float(label.mean()),
            "probability": float(probability.mean()),
            "gap": mean(probability - label, clusters),
            "log_loss": mean(_log_loss(probability, label), clusters),
            "auc": _auc(self.scorer, mine),
            "taken": mean(taken, clusters),
            "caught": mean(taken[positive], clusters[positive]),
        }


def by(rows: Rows, groups: Mapping[str, np.ndarray]) -> Json:
    """Judge a scorer by several attributes: name -> (n,) texts, None for none."""
    return {name: _by(rows, _named(values)) for name, values in groups.items()}


def periods(times: np.ndarray, count: int = 4) -> np.ndarray:
    """Return the period of each row, (n,) texts: up to `count` of equally many rows, by first day.

    `times` are microseconds.
    """
    days = times // 86_400_000_000
    starts = np.unique(np.quantile(days, np.linspace(0, 1, count + 1)[:-1], method="lower"))
    place = np.searchsorted(starts, days, side="right") - 1
    return np.array([f"from {day}" for day in starts.astype("datetime64[D]")], object)[place]


def unequal(judged: Json) -> list[str]:
    """Return in words which groups are treated unlike the other rows of their attribute.

    That is: scored too high or too low, or fewer of their positives taken, beyond their intervals.
    """
    return [
        f"{attribute} '{group}': {words}"
        for attribute, groups in judged.items()
        for group, found in groups.items()
        for words in _unequal(found, groups)
    ]


def mean(values: np.ndarray, clusters: np.ndarray) -> Json:
    """Return the mean of values (n,) with its interval; of one cluster there is none."""
    if not len(values):
        return {"value": None, "low": None, "high": None}
    centre = float(values.mean())
    _, place = np.unique(clusters, return_inverse=True)
    sums = np.bincount(place, values - centre)
    if len(sums) < 2:
        return {"value": centre, "low": None, "high": None}
    several = len(sums) / (len(sums) - 1)
    half = Z95 * float(np.sqrt(several * (sums**2).sum())) / len(values)
    return {"value": centre, "low": centre - half, "high": centre + half}


def _by(rows: Rows, names: np.ndarray) -> Json:
    found = {name: names == name for name in sorted(set(names.tolist()))}
    return {name: rows.judged(mine) for name, mine in found.items() if mine.sum() >= MIN_ROWS}


def _named(values: np.ndarray) -> np.ndarray:
    """Return the groups of values: the largest by name, the others together."""
    texts = np.array([NONE if value is None else str(value) for value in values], object)
    names, counts = np.unique(texts.astype(str), return_counts=True)
    largest = set(names[np.lexsort((names, -counts))][:MOST].tolist())
    return np.array([text if text in largest else OTHER for text in texts], object)


def _auc(scorer: Judged, mine: np.ndarray) -> float | None:
    label = scorer.label[mine]
    positives = int(label.sum())
    if min(positives, len(label) - positives) < MIN_CLASS:
        return None
    part = replace(
        scorer, rank=scorer.rank[mine], probability=scorer.probability[mine], label=label
    )
    return float(part.metrics(np.ones(len(label)))[0])


def _log_loss(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    return np.asarray(-(label * np.log(probability) + (1 - label) * np.log1p(-probability)))


def _unequal(found: Json, groups: Json) -> list[str]:
    said = []
    gap = found["gap"]
    if gap["low"] is not None and (gap["low"] > 0 or gap["high"] < 0):
        way = "high" if gap["value"] > 0 else "low"
        said.append(
            f"scored too {way} by {abs(gap['value']):.1%}"
            f" ({gap['low']:+.1%} to {gap['high']:+.1%}, {found['rows']:,} rows)"
        )
    rest = [each["caught"]["low"] for each in groups.values() if each is not found]
    caught, others = found["caught"], [low for low in rest if low is not None]
    if caught["high"] is not None and others and caught["high"] < min(others):
        said.append(f"only {caught['value']:.1%} of its positives are taken, more of all others")
    return said
