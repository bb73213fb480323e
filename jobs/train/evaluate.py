"""Evaluation on held-out rows: how good, how sure, and against what. Pure; plain JSON values out.

Intervals are 95 % percentile intervals of a bootstrap that draws whole clusters (accounts), because
rows of one account are not independent; model and baselines are judged on the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from jobs.train import calibrate

RESAMPLES = 300
BINS = 10  # of the calibration curve
STEPS = 20  # of the lift curve
METRICS = (
    *("auc", "average_precision", "log_loss", "brier"),
    *("calibration_slope", "calibration_intercept", "lift_10", "lift_20"),
)
COMPARED = ("auc", "average_precision", "log_loss", "brier", "lift_10", "lift_20")

type Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One way to score the held-out rows."""

    name: str
    rank: np.ndarray  # (n,) higher is better; what the order is judged on
    probability: np.ndarray  # (n,) float64 inside (0, 1)
    label: np.ndarray  # (n,) 0 or 1

    @cached_property
    def order(self) -> np.ndarray:
        """Positions by falling rank."""
        return np.argsort(-self.rank, kind="stable")

    @cached_property
    def ends(self) -> np.ndarray:
        """Last place of each group of equal rank, in that order."""
        ranked = self.rank[self.order]
        return np.flatnonzero(np.append(np.diff(ranked) != 0, True))

    @cached_property
    def logit(self) -> np.ndarray:
        """Log-odds of the probability."""
        return np.asarray(np.log(self.probability) - np.log1p(-self.probability))

    def metrics(self, weight: np.ndarray) -> np.ndarray:
        """Return METRICS under row weights (n,); NaN where one is not defined."""
        total, positives = weight.sum(), weight @ self.label
        if positives in (0, total):
            return np.full(len(METRICS), np.nan)
        cases, hits = self._cumulated(weight)
        before, each = np.append(0, hits[:-1]), np.diff(hits, prepend=0)
        misses = np.diff(cases, prepend=0) - each
        auc = misses @ (before + each / 2) / (positives * (total - positives))
        precision = hits / np.maximum(cases, 1e-300)
        p, y = self.probability, self.label
        loss = -(weight @ (y * np.log(p) + (1 - y) * np.log1p(-p))) / total
        brier = weight @ (p - y) ** 2 / total
        slope, intercept = self._calibration(weight)
        lifts = [self._caught(cases, hits, share) / share for share in (0.1, 0.2)]
        return np.array([auc, each @ precision / positives, loss, brier, slope, intercept, *lifts])

    def gain(self, shares: np.ndarray) -> np.ndarray:
        """Return the part of the positives among the best `shares` of the rows."""
        return self._caught(*self._cumulated(np.ones(len(self.label))), shares)

    def _cumulated(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ordered = weight[self.order]
        hits = np.cumsum(ordered * self.label[self.order])[self.ends]
        return np.cumsum(ordered)[self.ends], hits

    @staticmethod
    def _caught(cases: np.ndarray, hits: np.ndarray, share: np.ndarray | float) -> np.ndarray:
        # linear inside a group of equal rank: the expectation over how its ties are broken
        places = np.asarray(share) * cases[-1]
        caught = np.interp(places, np.append(0, cases), np.append(0, hits))
        return np.asarray(caught / hits[-1])

    def _calibration(self, weight: np.ndarray) -> tuple[float, float]:
        if np.ptp(self.logit) == 0:
            return np.nan, np.nan
        return calibrate.logistic(self.logit, self.label, weight, self.unweighted)

    @cached_property
    def unweighted(self) -> tuple[float, float]:
        """Calibration slope and intercept of the rows as they are: close to those of any draw."""
        return calibrate.logistic(self.logit, self.label, np.ones(len(self.label)))


def evaluate(judged: list[Judged], clusters: np.ndarray, seed: int) -> Json:
    """Judge the scorers on the same rows and draws; the first is the model, the rest baselines.

    `clusters` (n,) int64 numbers the cluster of each row from 0.
    """
    ones = np.ones(len(clusters))
    points = [scorer.metrics(ones) for scorer in judged]
    draws = _draws(judged, clusters, seed)
    first = judged[0]
    scorers = {
        scorer.name: _with_intervals(points[i], draws[i], METRICS)
        for i, scorer in enumerate(judged)
    }
    differences = {
        scorer.name: _with_intervals(points[0] - points[i], draws[0] - draws[i], COMPARED)
        for i, scorer in enumerate(judged)
        if i > 0
    }
    return {
        "rows": len(clusters),
        "positives": int(first.label.sum()),
        "clusters": int(clusters.max()) + 1,
        "scorers": scorers,
        "differences": differences,
        "signal": signal(scorers[first.name]["auc"]),
        "calibration_curve": calibration_curve(first),
        "lift_curve": lift_curve(judged),
    }


def signal(auc: Json) -> Json:
    """Return the verdict on an AUC with its interval, and a sentence that says it."""
    shown = f"AUC {auc['value']:.3f}, 95 % interval {auc['low']:.3f} to {auc['high']:.3f}"
    if auc["low"] <= 0.5 <= auc["high"]:
        verdict, means = "no signal", "the model cannot be told from a coin on later rows"
    elif auc["high"] < 0.5:
        verdict, means = "reversed", "the model ranks later rows worse than a coin"
    else:
        verdict, means = "signal", "the model ranks later rows better than a coin"
    return {"verdict": verdict, "sentence": f"{verdict.capitalize()}: {means} ({shown})."}


def said(evaluation: Json) -> list[str]:
    """Return the verdicts in words: is there signal, and is the model better than the rules?"""
    auc = evaluation["differences"]["rules"]["auc"]
    if auc["low"] > 0:
        against = "better than the rules"
    elif auc["high"] < 0:
        against = "worse than the rules: use the rules"
    else:
        against = "not to be told from the rules"
    gap = f"AUC {auc['value']:+.3f}, {auc['low']:+.3f} to {auc['high']:+.3f}"
    return [evaluation["signal"]["sentence"], f"on later rows the model is {against} ({gap})"]


def table(evaluation: Json) -> pd.DataFrame:
    """Return one row per metric, one column per scorer, each value with its interval."""
    scorers = evaluation["scorers"]
    shown = {name: [_shown(values[m]) for m in METRICS] for name, values in scorers.items()}
    return pd.DataFrame({"metric": METRICS, **shown})


def calibration_curve(scorer: Judged) -> list[Json]:
    """Return up to BINS equal bins by probability, each with its rate and Wilson interval."""
    edges = np.unique(np.quantile(scorer.probability, np.linspace(0, 1, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, scorer.probability, side="left")
    return [_point(scorer, place == number) for number in np.unique(place)]


def lift_curve(judged: list[Judged]) -> Json:
    """Return `share` of the rows taken, best first, and the part of the positives among them."""
    shares = np.linspace(0, 1, STEPS + 1)
    return {"share": shares.tolist(), **{s.name: s.gain(shares).tolist() for s in judged}}


def _draws(judged: list[Judged], clusters: np.ndarray, seed: int) -> np.ndarray:
    """Return metrics of RESAMPLES draws of clusters: (scorers, RESAMPLES, metrics)."""
    rng = np.random.default_rng(seed)
    count = int(clusters.max()) + 1
    drawn = np.empty((len(judged), RESAMPLES, len(METRICS)))
    for i in range(RESAMPLES):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        weight = times[clusters].astype(np.float64)
        drawn[:, i] = [scorer.metrics(weight) for scorer in judged]
    return drawn


def _with_intervals(
    point: np.ndarray, draws: np.ndarray, names: tuple[str, ...]
) -> dict[str, Json]:
    return {name: _interval(point, draws, METRICS.index(name)) for name in names}


def _interval(point: np.ndarray, draws: np.ndarray, i: int) -> Json:
    finite = draws[np.isfinite(draws[:, i]), i]
    if not len(finite) or not np.isfinite(point[i]):
        return {"value": None, "low": None, "high": None}
    low, high = np.percentile(finite, [2.5, 97.5])
    return {"value": float(point[i]), "low": float(low), "high": float(high)}


def _point(scorer: Judged, chosen: np.ndarray) -> Json:
    rows, positives = int(chosen.sum()), int(scorer.label[chosen].sum())
    low, high = calibrate.wilson(positives, rows)
    return {
        "probability": float(scorer.probability[chosen].mean()),
        "rate": positives / rows,
        "rows": rows,
        "positives": positives,
        "low": low,
        "high": high,
    }


def _shown(interval: Json) -> str:
    if interval["value"] is None:
        return "-"
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"
