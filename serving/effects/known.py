"""What is known of an action's effect: the document that a learning leaves, and how to find it.

The ref `effects/<funnel>/<action>` points at the blob of the newest one; each stays under
`effects/<funnel>/<action>/<moment>`, where a question about an earlier moment finds it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import exp
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.settings import Frozen
from serving.effects.definition import ref
from serving.forecast.evidence import Effect, Grade

if TYPE_CHECKING:
    from cluster.refs import Ref
    from cluster.workspace import Workspace

Z90 = 1.6448536269514722
LEAST_RATIO, MOST_RATIO = 1e-3, 1e3
MOST_STEPS = 260  # that an effect of a lever may be in force


class Ratio(Frozen):
    """A ratio of hazards, on the log scale."""

    log_ratio: float
    sd: float
    n: int  # rows

    @property
    def ratio(self) -> float:
        """The ratio."""
        return min(max(exp(self.log_ratio), LEAST_RATIO), MOST_RATIO)

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the ratio."""
        return exp(self.log_ratio - Z90 * self.sd), exp(self.log_ratio + Z90 * self.sd)


class Part(Ratio):
    """The same for a part of the rows."""

    column: str  # a feature, or `band`
    value: str


class Cause(Ratio):
    """What an arm does to one way to leave a stage: ratio of hazards to those of the control."""

    by: tuple[Part, ...] = ()


class Figure(Frozen):
    """What an arm does to an outcome within a horizon: a difference of means."""

    arm: str
    outcome: str
    measure: str  # happens, sum, or gained: days by which it came sooner
    unit: str = ""
    horizon_days: float
    control: float  # mean without the action
    effect: float
    sd: float
    log_ratio: float | None  # of the means
    log_sd: float | None
    column: str = "all"
    value: str = "all"
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the effect."""
        return self.effect - Z90 * self.sd, self.effect + Z90 * self.sd


class Curve(Frozen):
    """Whom an action helps most: what treating the best first gains, against anybody first."""

    arm: str
    outcome: str
    horizon_days: float
    share: tuple[float, ...]  # treated, the best first
    gain: tuple[float, ...]  # per head of all
    low: tuple[float, ...]  # 90 % interval of the gain over treating anybody
    high: tuple[float, ...]
    qini: float  # area between the curve and the diagonal, per head
    qini_low: float
    qini_high: float
    plain_qini: float  # the same with means of the arms in place of scores
    policy_share: float  # of those who would gain more than it costs
    policy_gain: float  # of treating these over treating everyone, per head
    policy_low: float
    policy_high: float
    is_better: bool  # is it shown that treating these gains more than treating everyone?


class Overlap(Frozen):
    """How far the arms can be compared."""

    edges: int  # number of bins of equal width from 0 to 1
    histogram: dict[str, tuple[int, ...]]  # by arm, rows by their chance to be treated
    lots: int
    used: int
    trimmed: float  # share
    worth: dict[str, float]  # rows that each arm is worth


class Bound(Frozen):
    """Between what an effect lies if a hidden cause changes the odds of an arm by a factor."""

    odds: float  # the factor, in the marginal sensitivity model
    low: float
    high: float
    limit_low: float  # of 90 % intervals of both
    limit_high: float


class Sensitivity(Frozen):
    """How strong a hidden cause must be to explain an effect away."""

    arm: str
    outcome: str
    horizon_days: float
    risk_ratio: float
    e_value: float
    e_value_of_limit: float
    odds_of_limit: float | None = None  # the least at which the interval holds 0, 20 at most
    bounds: tuple[Bound, ...] = ()


class Placebo(Frozen):
    """Actions drawn again by the same chances, which did nothing."""

    outcome: str
    draws: int
    held: float  # share of the 90 % intervals that held 0


class NegativeControl(Frozen):
    """The effect on what came before the action, which can be none."""

    arm: str
    name: str
    days: float
    effect: float
    sd: float
    is_earlier: bool = False  # an outcome of the action itself, as if it had begun so much earlier
    is_blind: bool = False  # the chances were fitted to features that count it: 0 shows little


class Known(Frozen):
    """The effect of an action, as learnt from one snapshot of the log."""

    action: str
    funnel: str | None
    description: str
    definition: str  # version
    grade: Grade | None  # None: refused
    refused: str | None = None
    causes: dict[str, Cause] = {}  # forward and lost, of the first arm beside control
    arms: dict[str, dict[str, Cause]] = {}  # of every arm
    lasts_days: float
    learnt_at: datetime
    snapshot: str  # of the log
    method: str
    n: dict[str, int]  # rows by arm
    figures: tuple[Figure, ...] = ()
    curves: tuple[Curve, ...] = ()
    overlap: Overlap | None = None
    sensitivity: tuple[Sensitivity, ...] = ()
    placebo: Placebo | None = None
    negative_controls: tuple[NegativeControl, ...] = ()
    said: tuple[str, ...] = ()

    @property
    def blob(self) -> bytes:
        """The document, the same bytes for the same content."""
        return canonical.dumps(self.model_dump(mode="json"))

    def as_effect(self, step_days: int, arm: str | None = None) -> Effect:
        """Return the effect as that of a lever, for steps of so many days: of the first arm, or of
        the one named. ValueError where none is known: it was refused, is of no funnel, or too few
        went forward while the action counts.
        """
        if self.grade is None:
            raise ValueError(f"an effect must be known, got a refusal: {self.refused}")
        causes = self.causes if arm is None else self.arms.get(arm, {})
        if "forward" not in causes:
            raise ValueError(
                f"an effect on going forward must be known, got none of '{self.action}' in funnel"
                f" '{self.funnel or 'none'}', arm '{arm or 'the first'}'"
            )
        forward, lost = causes["forward"], causes.get("lost")
        return Effect(
            ratio=forward.ratio,
            sd=forward.sd,
            lost_ratio=lost.ratio if lost else 1.0,
            lost_sd=lost.sd if lost else 0.0,
            grade=self.grade,
            lasts=min(max(1, round(self.lasts_days / step_days)), MOST_STEPS),
        )


def newest(workspace: Workspace, funnel: str | None, action: str) -> Known | None:
    """Return what was learnt last, a refusal too; None where nothing was."""
    found = workspace.refs.get(ref(funnel, action))
    return None if found is None else _read(workspace, found)


def newest_at(
    workspace: Workspace, funnel: str | None, action: str, moment: datetime
) -> Known | None:
    """Return what was learnt last from no more than was known at a moment, a refusal too; None
    where nothing was.
    """
    found, name = newest(workspace, funnel, action), ref(funnel, action)
    if found is None or found.learnt_at <= moment:
        return found
    until = ref_at(name, moment)
    there = [each for each in workspace.refs.under(f"{name}/") if each.name <= until]
    return _read(workspace, there[-1]) if there else None


def ref_at(ref: str, moment: datetime) -> str:
    """Return the name under which what was known at a moment stays: in the order of time."""
    return f"{ref}/{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _read(workspace: Workspace, found: Ref) -> Known:
    return Known.model_validate_json(workspace.blobs.get(found.target))


def load(workspace: Workspace, funnel: str | None, action: str) -> Known | None:
    """Return what is known of an action in a funnel; None where nothing is, or it was refused."""
    known = newest(workspace, funnel, action)
    return None if known is None or known.grade is None else known
