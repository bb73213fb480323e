"""What errors cost: whom to act on, and what that costs against acting on all or on none. Pure.

One positive passed over costs `miss`, one negative acted on `false_alarm`. With calibrated
probabilities the threshold false_alarm / (false_alarm + miss) costs least (Elkan 2001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from features.targets import Costs
    from jobs.train.evaluate import Json, Judged


def judged(scorers: list[Judged], costs: Costs) -> Json:
    """Return the threshold, and per scorer whom it takes and what an average row costs."""
    return {
        "miss": costs.miss,
        "false_alarm": costs.false_alarm,
        "threshold": costs.threshold,
        "scorers": {scorer.name: _of(scorer, costs) for scorer in scorers},
        "all": float(costs.false_alarm * (1 - scorers[0].label).mean()),
        "none": float(costs.miss * scorers[0].label.mean()),
    }


def said(found: Json) -> str:
    """Return what the costs come to in one sentence."""
    model, others = found["scorers"]["model"], {n: found[n] for n in ("all", "none")}
    cheapest = min(others, key=others.__getitem__)
    return (
        f"a miss costs {found['miss']:g}, a false alarm {found['false_alarm']:g}: acting from"
        f" {found['threshold']:.3f} on takes {model['taken']:.1%} of the later rows and costs"
        f" {model['cost']:.3f} a row; acting on {cheapest} costs {others[cheapest]:.3f}"
    )


def _of(scorer: Judged, costs: Costs) -> Json:
    taken = scorer.probability >= costs.threshold
    paid = np.where(taken, costs.false_alarm * (1 - scorer.label), costs.miss * scorer.label)
    return {"taken": float(taken.mean()), "cost": float(paid.mean())}
