"""The fallback: what the rules say where no model could be asked in time. Pure.

The calibrator of the slot blends the points of the rules with the mean margin of its model, as if
nothing more were known of the row; the interval is (0, 1), so the confidence is low, and the policy
says where such a row goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving import explored, ruled, rules
from serving import policy as policies
from serving.decide import Decision, best, inputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from serving.decide import Case
    from serving.slots.slot import Slot


def decision(
    slot: Slot, cases: Sequence[Case], now: datetime, *, cause: str, reasons: bool
) -> Decision:
    """Return the decision of the rules about the best of some cases (at least one).

    A case without features is one whose features did not come in time: then no rule fires.
    """
    return best([_by_rules(slot, each, now, cause=cause, reasons=reasons) for each in cases])


def _by_rules(slot: Slot, case: Case, now: datetime, *, cause: str, reasons: bool) -> Decision:
    model, known = slot.model, case.features
    features = {name: known[name] for name in inputs(model, slot.policy) if name in known}
    usable = rules.among(model.rules, features)
    points = rules.points(usable, [features])
    margin = np.array([model.explainer.base])
    why = ruled.reasons(usable, [features], margin[:, None], model.calibrator)[0]
    routed = policies.without_model(slot.policy, cause, features or None)
    return Decision(
        entity=case.entity,
        account=case.account,
        time=case.time,
        margin=float(margin[0]),
        points=int(points[0]),
        probability=float(model.calibrator.probability(margin, points)[0]),
        low=0.0,
        high=1.0,
        verdict=explored.fallen_back(slot.policy, routed),
        reasons=((why,) if why else ()) if reasons else None,
        features=features,
        basis=slot.basis,
        decided_at=now,
    )
