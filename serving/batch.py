"""Batch scoring: many feature rows through the same `decide` as the API, as a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa

from features import log
from serving.decide import Decision, decide

if TYPE_CHECKING:
    from datetime import datetime

    from serving.service import Slot

SCHEMA = pa.schema(
    [
        pa.field("entity", pa.string(), nullable=False),
        pa.field("account", pa.string()),
        pa.field("time", log.MICROSECONDS, nullable=False),
        pa.field("margin", pa.float64(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("confidence", pa.string(), nullable=False),
        pa.field("route", pa.string(), nullable=False),
        pa.field("reasons", pa.string(), nullable=False),  # JSON, as in the API
        pa.field("model", pa.string(), nullable=False),
        pa.field("policy", pa.string(), nullable=False),
        pa.field("scored_at", log.MICROSECONDS, nullable=False),
    ]
)


def score(slot: Slot, rows: pa.Table, now: datetime) -> pa.Table:
    """Return one row of SCHEMA per feature row."""
    made = decide(slot.model, slot.policy, rows, now, basis=slot.basis)
    return pa.Table.from_pylist([_row(decision) for decision in made], schema=SCHEMA)


def _row(decision: Decision) -> dict[str, object]:
    return {
        **{n: getattr(decision, n) for n in ("entity", "account", "time", "margin", "probability")},
        "low": decision.low,
        "high": decision.high,
        "confidence": decision.verdict.confidence,
        "route": decision.verdict.route,
        "reasons": json.dumps(decision.as_dict()["reasons"]),
        "model": decision.basis.model,
        "policy": decision.basis.policy,
        "scored_at": decision.decided_at,
    }
