"""The effect of a lever that is to be estimated: learnt by `jobs.effects`, or from lots of the
log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import Refusal
from serving.effects import known
from serving.forecast import effect
from serving.forecast.kinds import Outreach

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.workspace import Workspace
    from serving.forecast.evidence import Effect, Response
    from serving.forecast.funnels import Funnel
    from serving.forecast.kinds import Price
    from serving.forecast.units import Course

OUTREACH = "outreach"
RULE = "an effect that is 'estimated' must have been learnt from the log"


class Found(NamedTuple):
    """An estimate, and what is said of it."""

    value: Effect | Response
    said: str


def learnt(
    workspace: Workspace, funnel: Funnel, as_of: datetime, lever: Outreach | Price
) -> Found | Refusal | None:
    """Return what was learnt of the action of a lever, the newest from no more than is known at a
    time. A Refusal where nothing was, or that learning was refused: nothing else may stand in for
    it; None where nothing was, and the lots of the log may say it.
    """
    action = lever.action if isinstance(lever, Outreach) else lever.kind
    there = known.newest_at(workspace, funnel.name, action, as_of)
    if there is not None and there.grade is None:
        return _refused(action, str(there.refused))
    if there is None or "forward" not in there.causes:
        return None if action == OUTREACH else _nothing(action)
    value, forward = there.as_effect(funnel.step_days), there.causes["forward"]
    low, high = forward.interval
    said = (
        f"effect of {action}, {there.grade} ({value.grade.code}): ratio of hazards"
        f" {value.ratio:.2f}, 90 % interval {low:.2f} to {high:.2f}, on being lost"
        f" {value.lost_ratio:.2f}; learnt by {there.method} from {forward.n:,} rows"
    )
    return Found(value, said)


def of_lots(course: Course) -> Found | Refusal:
    """Return the effect of a contact from who was contacted, or left alone, by chance."""
    found = effect.estimate(effect.lots(course), course.at)
    if isinstance(found, Refusal):
        return found
    said = f"effect of a contact, estimated: {found}"
    return Found(found.as_effect(course.funnel.step_days), said)


def _nothing(action: str) -> Refusal:
    return Refusal(
        rule=RULE,
        value=f"'{action}'",
        remedy=f"run python -m jobs.effects --action {action}, or state it with grade 'assumption'",
    )


def _refused(action: str, why: str) -> Refusal:
    return Refusal(
        rule=RULE,
        value=f"'{action}', refused: {why}",
        remedy="do as it says, or state the effect with grade 'assumption'",
    )
