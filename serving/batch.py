"""Batch scoring: many feature rows through the same `decide` as the API, as a table; each beside
the last score of its entity, and beside its like. And that table read back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import FunnelcastError
from features import log
from serving.decide import Basis, Decision, decide

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cluster.workspace import Workspace
    from features.targets import Target
    from serving.model import Model
    from serving.policy import Policy

STEADY = 0.2  # log-odds: from 10 % to 12 %, or from 50 % to 55 %; less is not told from noise
LEAST_LIKE = 10  # open entities of a segment that have a usual probability
RISING, FALLING, STILL = "rising", "falling", "steady"
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
        pa.field("previous", pa.float64()),  # probability of the last committed scores
        pa.field("change", pa.float64()),  # of the probability since
        pa.field("trend", pa.string()),  # rising, falling or steady
        pa.field("segment", pa.string()),  # the first that the target declares, if it is a text
        pa.field("usual", pa.float64()),  # median probability of the open entities of the segment
        pa.field("against_usual", pa.float64()),  # odds of this one, as a multiple of the usual
        pa.field("explored", pa.bool_()),  # was the route drawn by lot? null: nothing is explored
        pa.field("propensity", pa.float64()),  # of the route
    ]
)
UNSHOWN = ("reasons", "explored", "propensity")  # tables of old have none of the last two
CATEGORIES = ("confidence", "route", "trend", "segment", "model", "policy")


class NoScores(FunnelcastError):
    """Nothing was scored for this target yet."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """All that makes rows of scores out of feature rows. Safe to share between threads."""

    model: Model
    policy: Policy
    basis: Basis
    steady: float = STEADY  # log-odds
    segment: str | None = None  # the feature that says who is alike
    usual: Mapping[str, float] = field(default_factory=dict)  # probability by segment
    # the last scores, columns entity and probability
    last: pa.Table = field(default_factory=lambda: SCHEMA.empty_table())

    def score(self, rows: pa.Table, now: datetime) -> pa.Table:
        """Return one row of SCHEMA per feature row, in their order."""
        made = decide(self.model, self.policy, rows, now, basis=self.basis)
        told = pa.Table.from_pylist([_row(each) for each in made], schema=SCHEMA)
        if not made:
            return told
        probability = told["probability"].to_numpy()
        before = previous(self.last, told["entity"])
        segments = segments_of(rows, self.segment)
        usual = np.array([np.nan if s is None else self.usual.get(s, np.nan) for s in segments])
        return _with(
            told,
            {
                "previous": before,
                "change": probability - before,
                "trend": trends(before, probability, self.steady),
                "segment": segments,
                "usual": usual,
                "against_usual": odds(probability) / odds(usual),
            },
        )


def previous(last: pa.Table, entities: pa.ChunkedArray) -> np.ndarray:
    """Return the last probability of each entity, (n,) float64, NaN for none."""
    place = pc.index_in(entities, value_set=last["entity"])
    found: np.ndarray = pc.take(last["probability"], place).to_numpy().astype(np.float64)
    return found


def trends(before: np.ndarray, after: np.ndarray, steady: float) -> list[str | None]:
    """Return where probabilities (n,) go: steady while their log-odds move by less than `steady`;
    None where there was none before.
    """
    moved = np.log(odds(after)) - np.log(odds(before))
    return [None if np.isnan(each) else _trend(float(each), steady) for each in moved]


def usual(segments: Sequence[str | None], probability: np.ndarray) -> dict[str, float]:
    """Return the median probability of each segment that has LEAST_LIKE rows or more."""
    alike = pd.Series(probability).groupby(pd.Series(segments, dtype=object))
    found = alike.agg(["median", "size"])
    return {str(name): float(m) for name, m, n in found.itertuples() if n >= LEAST_LIKE}


def segments_of(rows: pa.Table, segment: str | None) -> list[str | None]:
    """Return the segment of each feature row; None where it has none."""
    if segment is None:
        return [None] * rows.num_rows
    named: list[str | None] = rows[segment].to_pylist()
    return named


def segment_of(target: Target) -> str | None:
    """Return the feature by which entities of a target are alike: its first segment that is a
    text; None if it declares none.
    """
    texts = {f.name for f in target.features.features if pa.types.is_string(f.type)}
    return next((name for name in target.segments if name in texts), None)


def odds(probability: np.ndarray) -> np.ndarray:
    """Return p / (1 - p)."""
    found: np.ndarray = probability / (1 - probability)
    return found


def frame(
    workspace: Workspace, target: Target, snapshot: int | None = None, *, reasons: bool = False
) -> pd.DataFrame:
    """Return the scores of a snapshot, by default the newest, the highest first.

    Times are in UTC, words that recur are categories, what is not there is NA. With `reasons` there
    is a column of them, a list of mappings per row. NoScores when nothing was scored.
    """
    require_scores(workspace, target)
    names = [n for n in SCHEMA.names if n not in UNSHOWN or (reasons and n == "reasons")]
    rows = workspace.tables.read(target.scores_table, snapshot, names).select(names)
    found = rows.to_pandas().astype(dict.fromkeys(CATEGORIES, "category"))
    if reasons:
        found["reasons"] = found["reasons"].map(json.loads)
    ordered = found.sort_values(["probability", "entity"], ascending=[False, True])
    return ordered.reset_index(drop=True)


def course(workspace: Workspace, target: Target, entity: str) -> pd.DataFrame:
    """Return the scores of one entity in every snapshot that is kept, oldest first, with the
    column `snapshot` beside those of `frame`.
    """
    require_scores(workspace, target)
    made = workspace.tables.history(target.scores_table)
    found = [_of(workspace, target, commit.snapshot, entity) for commit in made]
    return pd.concat(found, ignore_index=True)


def require_scores(workspace: Workspace, target: Target) -> int:
    """Return the newest snapshot of the scores of a target; NoScores when there is none."""
    head = workspace.tables.head(target.scores_table)
    if head is None:
        raise NoScores(
            f"'{target.name}' must have scores, got none: run python -m jobs.score --target"
            f" {target.name}"
        )
    return head


def _of(workspace: Workspace, target: Target, snapshot: int, entity: str) -> pd.DataFrame:
    names = [name for name in SCHEMA.names if name not in UNSHOWN]
    found = picked(workspace, target.scores_table, snapshot, names, [entity])
    rows = pa.concat_tables([plain(SCHEMA.empty_table()).select(names), *found])
    return rows.to_pandas().assign(snapshot=snapshot)


def picked(
    workspace: Workspace, table: str, snapshot: int, columns: Sequence[str], entities: Sequence[str]
) -> Iterator[pa.Table]:
    """Yield the rows of some entities in a snapshot of a table, file by file; texts are plain."""
    wanted = pa.array(entities, pa.string())
    for file in workspace.tables.files(table, snapshot):
        rows = plain(workspace.tables.read_files(table, [file], columns))
        yield rows.select(columns).filter(pc.is_in(rows["entity"], value_set=wanted))


def plain(rows: pa.Table) -> pa.Table:
    """Return rows whose texts are texts, and whose columns know no more than their types."""
    kinds = [pa.string() if _is_word(f.type) else f.type for f in rows.schema]
    return rows.cast(pa.schema(list(zip(rows.column_names, kinds, strict=True))))


def _is_word(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) or pa.types.is_large_string(kind))


def _trend(moved: float, steady: float) -> str:
    if abs(moved) < steady:
        return STILL
    return RISING if moved > 0 else FALLING


def _with(rows: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """Return rows with some columns of SCHEMA filled; NaN is null."""
    filled = {n: pa.array(v, SCHEMA.field(n).type, from_pandas=True) for n, v in columns.items()}
    return pa.table([filled.get(name, rows[name]) for name in SCHEMA.names], schema=SCHEMA)


def _row(decision: Decision) -> dict[str, object]:
    drawn = decision.verdict.exploration
    return {
        **{n: getattr(decision, n) for n in ("entity", "account", "time", "margin", "probability")},
        "low": decision.low,
        "high": decision.high,
        "confidence": decision.verdict.confidence,
        "route": decision.verdict.route,
        "reasons": json.dumps([vars(reason) for reason in decision.reasons or ()]),
        "model": decision.basis.model,
        "policy": decision.basis.policy,
        "scored_at": decision.decided_at,
        "explored": drawn and drawn.explored,
        "propensity": drawn and drawn.propensity,
    }
