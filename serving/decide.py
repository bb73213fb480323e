"""The decision: a pure function of model, policy, cases and a time.

The API, batch scoring, replay and simulation all call `decide`, so none of them can differ from
another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from cluster.errors import FunnelcastError
from serving import explored
from serving import policy as policies

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np

    from serving.calibrator import Calibrator
    from serving.model import Model, Reason
    from serving.policy import Policy, Verdict

TOP_REASONS = 4
SCORE, EXPLAIN, POLICY = "score", "explain", "policy"  # stages of a decision
type Lap = Callable[[str], None]  # told the name of each stage as it ends


class NotFinite(FunnelcastError):
    """The model gave a score that is no probability."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Ids of everything decisions are made from."""

    target: str  # name@version
    model: str
    calibrator: str  # hash of its document
    policy: str
    view: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """Whom a decision is about, and what is known of them at T."""

    entity: str
    account: str | None
    time: datetime  # T
    features: Mapping[str, object]  # by name, at least those of the model


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision about one entity."""

    entity: str
    account: str | None
    time: datetime  # T: what the features look back from
    margin: float  # log-odds before calibration
    points: int | None  # of the rules, where the calibrator weighs them
    probability: float  # calibrated
    low: float  # interval of the probability
    high: float
    verdict: Verdict
    reasons: tuple[Reason, ...] | None  # None: they were not asked for
    features: Mapping[str, object]  # of the model
    basis: Basis
    decided_at: datetime


def decide(
    model: Model,
    policy: Policy,
    asked: pa.Table | Sequence[Case],
    now: datetime,
    *,
    basis: Basis,
    reasons: bool = True,
    lap: Lap = lambda stage: None,
) -> list[Decision]:
    """Return one decision per case, or per row of a table: entity, account, time and the features.

    NotFinite when the model gives no probability. `lap` hears of the end of SCORE, EXPLAIN, POLICY.
    """
    names = inputs(model, policy)
    cases = cases_of(asked, names) if isinstance(asked, pa.Table) else asked
    if not cases:
        return []
    records = [case.features for case in cases]
    points = model.points(records)
    rows = asked if isinstance(asked, pa.Table) else records
    scores = model.score(model.encode(rows), points)
    chances = _chances(model.calibrator, scores.probability)
    lap(SCORE)
    told = model.reasons(records, top=TOP_REASONS) if reasons else [None] * len(cases)
    lap(EXPLAIN)
    verdicts = policies.apply_all(policy, *chances, rows)
    if policy.explore is not None:
        verdicts = explored.drawn(policy, verdicts, cases, chances)
    lap(POLICY)
    worth = [None] * len(cases) if points is None else points.tolist()
    spread = zip(*(each.tolist() for each in chances), strict=True)
    scored = zip(scores.margin.tolist(), worth, spread, strict=True)
    return [
        _decision(*each, names=names, basis=basis, now=now)
        for each in zip(cases, scored, verdicts, told, strict=True)
    ]


def cases_of(rows: pa.Table, names: Sequence[str]) -> list[Case]:
    """Return the rows of a table with the columns entity, account, time and the named features."""
    spine = rows.select(["entity", "account", "time"]).to_pylist()
    records = rows.select(names).to_pylist()
    return [Case(**keys, features=each) for keys, each in zip(spine, records, strict=True)]


def best(made: Sequence[Decision]) -> Decision:
    """Return the decision about whom is likeliest; of equals the one whose id comes last."""
    return max(made, key=lambda each: (each.probability, each.entity))


def inputs(model: Model, policy: Policy) -> list[str]:
    """Return the features that a decision looks at: those of the model, then more of the policy."""
    names = [feature.name for feature in model.signature.features]
    return [*names, *(name for name in policy.features if name not in names)]


def _chances(
    calibrator: Calibrator, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probability, low and high of each; NotFinite for what is none."""
    is_chance = (probability > 0) & (probability < 1)
    if not is_chance.all():
        raise NotFinite(
            f"a probability must lie between 0 and 1, got {probability[~is_chance][0]}: look at "
            "the model, or go back to the one before"
        )
    return probability, *calibrator.intervals(probability)


def _decision(
    case: Case,
    scored: tuple[float, int | None, tuple[float, float, float]],
    verdict: Verdict,
    reasons: tuple[Reason, ...] | None,
    *,
    names: Sequence[str],
    basis: Basis,
    now: datetime,
) -> Decision:
    margin, points, (probability, low, high) = scored
    return Decision(
        entity=case.entity,
        account=case.account,
        time=case.time,
        margin=margin,
        points=points,
        probability=probability,
        low=low,
        high=high,
        verdict=verdict,
        reasons=reasons,
        features={name: case.features[name] for name in names},
        basis=basis,
        decided_at=now,
    )
