"""The judgement: the model on rows later than all it learnt from, against rules, base rate and the
live model; in all, by segment, by period and by attributes that must be treated alike. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import FunnelcastError
from jobs.train import calibrate, costs, evaluate, fit, groups
from serving import model, rules
from serving.calibrator import sigmoid

if TYPE_CHECKING:
    from datetime import datetime

    from features.targets import Target
    from jobs.train.evaluate import Json
    from jobs.train.fit import Prepared
    from serving.rules import Rule


@dataclass(frozen=True, kw_only=True)
class Live:
    """The model that answers now."""

    model: model.Model
    learnt_until: datetime | None  # T of the last row that it learnt from, None of none


def judged(target: Target, prepared: Prepared, trained: model.Model, seed: int) -> Json | None:
    """Judge a model on the held-out rows; None when there are none."""
    if not prepared.is_judged:
        return None
    test, ours, clusters = (
        prepared.test,
        _scored("model", trained, prepared),
        fit.clusters(prepared.test),
    )
    scorers = [ours, *_baselines(trained.rules, prepared, ours.label)]
    rows = groups.Rows(scorer=ours, clusters=clusters, threshold=target.costs.threshold)
    found = groups.by(rows, _columns(test, (*target.segments, *target.fairness)))
    times = np.asarray(pc.cast(test["time"], pa.int64()))
    alike = {name: found[name] for name in target.fairness}
    return {
        **evaluate.evaluate(scorers, clusters, seed),
        "costs": costs.judged(scorers, target.costs),
        "groups": {**found, **groups.by(rows, {"period": groups.periods(times)})},
        "fairness": {"attributes": list(alike), "unequal": groups.unequal(alike)},
    }


def against(live: Live, prepared: Prepared, trained: model.Model, seed: int) -> Json | None:
    """Judge a model and the live one on the same rows; None if the live one has seen some of them,
    or does not know their columns.
    """
    if live.learnt_until and live.learnt_until >= pc.min(prepared.test["time"]).as_py():
        return None
    try:
        theirs = _scored("live", live.model, prepared)
    except FunnelcastError:
        return None
    ours = _scored("model", trained, prepared)
    return evaluate.evaluate([ours, theirs], fit.clusters(prepared.test), seed)


def said_against(live: Live | None, found: Json | None) -> list[str]:
    """Return in words whether a model is better than the live one, if there is one."""
    if live is None:
        return []
    if found is None:
        return ["not compared with the live model: it has seen later rows, or has other columns"]
    gap = found["differences"]["live"]["log_loss"]
    shown = f"log loss {gap['value']:+.4f}, {gap['low']:+.4f} to {gap['high']:+.4f}"
    if gap["low"] <= 0 <= gap["high"]:
        return [f"not to be told from the live model on later rows ({shown})"]
    way = "better" if gap["high"] < 0 else "worse"
    return [f"{way} than the live model on later rows ({shown})"]


def said(evaluation: Json) -> list[str]:
    """Return the verdicts in words."""
    found, unequal = (evaluation["fairness"][part] for part in ("attributes", "unequal"))
    fair = [f"groups of {', '.join(found)} are treated alike"] if found and not unequal else unequal
    return [*evaluate.said(evaluation), costs.said(evaluation["costs"]), *fair]


def _baselines(
    declared: tuple[Rule, ...], prepared: Prepared, label: np.ndarray
) -> list[evaluate.Judged]:
    """Return the rules, calibrated on the training rows, and the base rate."""
    learnt = prepared.data.label
    slope, intercept = calibrate.platt(rules.score(declared, prepared.train).astype(float), learnt)
    points = rules.score(declared, prepared.test).astype(float)
    by_rules = sigmoid(points * slope + intercept)
    constant = sigmoid(np.full(len(label), calibrate.log_odds(learnt)))
    return [
        evaluate.Judged(name="rules", rank=points, probability=by_rules, label=label),
        evaluate.Judged(name="base_rate", rank=constant, probability=constant, label=label),
    ]


def _scored(name: str, by: model.Model, prepared: Prepared) -> evaluate.Judged:
    found = by.score(by.encode(prepared.test), by.points(prepared.test)).probability
    label = prepared.label[prepared.parts.held]
    return evaluate.Judged(name=name, rank=found, probability=found, label=label)


def _columns(rows: pa.Table, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: np.array(rows[name].to_pylist(), object) for name in names}
