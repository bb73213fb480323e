"""Verdicts of a policy that explores: those that thresholds alone gave, of rows about which every
rule was asked, may be drawn by lot. What a rule, review or the fallback decided stands. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from serving import policy as policies
from serving.releases.exploring import Lot, untouched

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from serving.decide import Case
    from serving.policy import Policy, Verdict

RULE, UNASKED = "a rule decided", "a rule saw no value"
REVIEW, NO_MODEL = "review decided", "no model was asked"


def drawn(
    policy: Policy,
    verdicts: Sequence[Verdict],
    cases: Sequence[Case],
    chances: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> list[Verdict]:
    """Return verdicts as they are after the draw, if the policy explores; `chances`: probability,
    low and high of each, (n,).
    """
    if policy.explore is None:
        return list(verdicts)
    lot, widths = (
        Lot(policy=policy.name, explore=policy.explore),
        (chances[2] - chances[1]).tolist(),
    )
    made = []
    for each, case, width in zip(verdicts, cases, widths, strict=True):
        why = _must_stand(policy, each, case, width)
        made.append(_kept(each, why) if why else _drawn(lot, each, case))
    return made


def fallen_back(policy: Policy, verdict: Verdict) -> Verdict:
    """Return the verdict on a row that no model was asked about: nothing is drawn there."""
    return verdict if policy.explore is None else _kept(verdict, NO_MODEL)


def _must_stand(policy: Policy, verdict: Verdict, case: Case, width: float) -> str | None:
    """Return why a verdict must stand as it is; None if it may be drawn."""
    values = [case.features[rule.when.feature] for rule in policy.rules]
    if any(rule.when.fires(value) for rule, value in zip(policy.rules, values, strict=True)):
        return RULE
    if any(value is None or value != value for value in values):
        return UNASKED
    if policies.is_unsure(policy, width):
        return REVIEW
    routes = policy.explore.routes if policy.explore else ()
    return None if verdict.route in routes else f"{verdict.route} is not among its routes"


def _kept(verdict: Verdict, why: str) -> Verdict:
    said = f"exploration: nothing is drawn, {why}: False"
    return replace(
        verdict, trace=(*verdict.trace, said), exploration=untouched(verdict.route)
    )  # fmt: skip


def _drawn(lot: Lot, verdict: Verdict, case: Case) -> Verdict:
    route, told, said = lot.drawn(case.account or case.entity, case.time, verdict.route)
    reason = verdict.reason
    if told.explored:
        reason = f"by lot, to learn from it; the policy's own route is {told.own}"
        said = f"{said}: True"
    return replace(
        verdict, route=route, reason=reason, trace=(*verdict.trace, said), exploration=told
    )
