"""The split: from the last score to this one in six steps, each a real scoring of its own. Pure.

What is changed at each step stays changed in those after it, so the differences add up to the whole
change. The order is that in which causes come about. What was learnt late corrects what the last
score should have been; then time passes, then new things happen, all seen by the old model; then
the model looks anew, is calibrated, and the policy routes. So the first three are what happened
to the customer, the others what we did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.moved import replay

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from serving.model import Model
    from serving.moved.replay import Stage
    from serving.policy import Policy

CAUSES = ("late_events", "time", "new_events", "model", "calibrator", "policy")


@dataclass(frozen=True, kw_only=True)
class Side:
    """What scores were made with."""

    model: Model
    policy: Policy


@dataclass(frozen=True, kw_only=True)
class Looks:
    """The same entities, in the same order, looked at in five ways: columns entity, account, time
    and the features of a view.
    """

    then: pa.Table  # as they were scored last time
    told: pa.Table  # as of then, with all that is known now
    passed: pa.Table  # as of now, with what happened before then
    came: pa.Table  # as of now, with all
    now: pa.Table  # the same, by the view of the new model; as they were scored this time


@dataclass(frozen=True, kw_only=True)
class Point:
    """A score: log-odds and probability on the grid of `replay`, and where it goes."""

    logit: float
    probability: float
    route: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one cause did."""

    cause: str
    logit: float  # change of the calibrated log-odds
    probability: float  # change of it
    route: str  # after it

    @property
    def is_nothing(self) -> bool:
        """Did the score stay where it was?"""
        return self.logit == 0 and self.probability == 0


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Why one score moved: before and its parts, summed in any order, are after, to the bit."""

    entity: str
    before: Point
    after: Point
    parts: tuple[Part, ...]  # one for each of CAUSES, in their order

    @property
    def rerouted_by(self) -> list[str]:
        """The causes that changed the route, in their order."""
        routes = [self.before.route, *(part.route for part in self.parts)]
        return [p.cause for p, was in zip(self.parts, routes, strict=False) if p.route != was]


def split(before: Side, after: Side, looks: Looks) -> list[Moved]:
    """Return why the score of each entity moved, in the order of the rows."""
    stages = list(_stages(before, after, looks))
    entities = looks.now["entity"].to_pylist()
    return [_moved(entity, stages, row) for row, entity in enumerate(entities)]


def _stages(before: Side, after: Side, looks: Looks) -> Iterator[Stage]:
    """Yield what was said last time, and then after each of CAUSES."""
    for rows in (looks.then, looks.told, looks.passed, looks.came):
        yield replay.stage(before.model, before.policy, rows)
    newer = replay.calibrated_as(after.model, before.model)
    yield replay.stage(newer, before.policy, looks.now)
    yield replay.stage(after.model, before.policy, looks.now)
    yield replay.stage(after.model, after.policy, looks.now)


def _moved(entity: str, stages: list[Stage], row: int) -> Moved:
    points = [_point(stage, row) for stage in stages]
    parts = tuple(
        Part(
            cause=cause,
            logit=point.logit - was.logit,
            probability=point.probability - was.probability,
            route=point.route,
        )
        for cause, was, point in zip(CAUSES, points[:-1], points[1:], strict=True)
    )
    return Moved(entity=entity, before=points[0], after=points[-1], parts=parts)


def _point(stage: Stage, row: int) -> Point:
    return Point(
        logit=float(stage.logit[row]),
        probability=float(stage.probability[row]),
        route=stage.routes[row],
    )
