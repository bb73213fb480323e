"""The decision: a pure function of model, policy, feature rows and a time.

The API, batch scoring, replay and simulation all call `decide`, so none of them can differ from
another.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Self

from serving import policy as policies

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from serving.model import Model, Reason
    from serving.policy import Policy, Verdict

TOP_REASONS = 4


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Ids of everything decisions are made from."""

    target: str
    model: str
    policy: str
    view: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision about one entity."""

    entity: str
    account: str | None
    time: datetime  # T: what the features look back from
    margin: float  # log-odds before calibration
    probability: float  # calibrated
    low: float  # interval of the probability
    high: float
    verdict: Verdict
    reasons: tuple[Reason, ...]
    features: dict[str, object]
    basis: Basis
    decided_at: datetime
    id: str = ""

    def evolve(self, **changes: object) -> Self:
        """Return a copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, object]:
        """Return plain JSON values, times in ISO 8601."""
        times = {"time": self.time.isoformat(), "decided_at": self.decided_at.isoformat()}
        return {**asdict(self), **times}


def decide(
    model: Model, policy: Policy, rows: pa.Table, now: datetime, *, basis: Basis
) -> list[Decision]:
    """Return one decision per feature row (entity, account, time and the model's features)."""
    if not rows.num_rows:
        return []
    names = [feature.name for feature in model.signature.features]
    records = rows.select(names).to_pylist()
    scores = model.score(model.encode(rows), model.points(records))
    lows, highs = model.calibrator.intervals(scores.probability)
    columns = zip(
        rows.select(["entity", "account", "time"]).to_pylist(),
        records,
        scores.margin.tolist(),
        scores.probability.tolist(),
        zip(lows.tolist(), highs.tolist(), strict=True),
        model.reasons(rows, top=TOP_REASONS),
        strict=True,
    )
    return [
        Decision(
            **spine,
            margin=margin,
            probability=probability,
            low=low,
            high=high,
            verdict=policies.apply(policy, probability, low, high),
            reasons=reasons,
            features=features,
            basis=basis,
            decided_at=now,
        )
        for spine, features, margin, probability, (low, high), reasons in columns
    ]
