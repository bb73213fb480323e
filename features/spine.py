"""Spines: which entities at which moments. Pure functions from the events of a bucket to rows to be
given features.

A training spine has the label and its maturity; a scoring spine has every entity that is open now.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features import log

if TYPE_CHECKING:
    from features.targets import Named, Target

DAY = 86_400_000_000  # microseconds
SCORING = pa.schema(
    [
        pa.field("entity", pa.string(), nullable=False),
        pa.field("account", pa.string()),
        pa.field("time", log.MICROSECONDS, nullable=False),
    ]
)
TRAINING = pa.schema([*SCORING, pa.field("label", pa.bool_()), pa.field("mature", pa.bool_())])


def training(target: Target, events: pa.Table, as_of: datetime) -> pa.Table:
    """Return the labelled rows of `target` that the events give, as known at `as_of`."""
    visible = log.visible(events, as_of)
    rows = _repeated(target, _anchors(target, visible))
    labels = _moments(target, visible, target.label)
    rows = _still_open(target, rows, visible, labels)
    rows["label"] = _happens_within(rows, labels, target.horizon_days)
    settled = rows["time"] + _days(target.horizon_days + target.settle_days)
    rows["mature"] = settled <= _micros(as_of)
    if target.among_closed:
        closings = pd.concat([_moments(target, visible, n) for n in target.closed_by])
        rows["mature"] &= rows["label"] | _happens_within(rows, closings, target.horizon_days)
    return _table(rows[rows["time"] < _micros(as_of)], TRAINING)


def scoring(target: Target, events: pa.Table, as_of: datetime) -> pa.Table:
    """Return one row per entity of `target` that is open at `as_of`."""
    visible = log.visible(events, as_of)
    rows = _anchors(target, visible)
    rows = rows[rows["anchor"] < _micros(as_of)].assign(time=_micros(as_of))
    closed = pd.concat([_moments(target, visible, n) for n in (target.label, *target.closed_by)])
    closed = closed[closed["moment"] < _micros(as_of)]
    return _table(rows[~rows["entity"].isin(closed["entity"])], SCORING)


def chosen(target: Target, events: pa.Table, entities: list[str], at: datetime) -> pa.Table:
    """Return one row as of `at` per entity asked for whose anchor is known by then, open or not."""
    rows = _anchors(target, log.visible(events, at))
    rows = rows[(rows["anchor"] < _micros(at)) & rows["entity"].isin(entities)]
    return _table(rows.assign(time=_micros(at)), SCORING)


def _anchors(target: Target, visible: pa.Table) -> pd.DataFrame:
    anchors = _moments(target, visible, target.anchor).sort_values(["entity", "moment"])
    return anchors.drop_duplicates("entity").rename(columns={"moment": "anchor"})


def _repeated(target: Target, anchors: pd.DataFrame) -> pd.DataFrame:
    repeats = np.arange(target.times)
    rows = anchors.loc[anchors.index.repeat(target.times)].copy()
    offset = _days(target.delay_days) + np.tile(repeats, len(anchors)) * _days(target.every_days)
    rows["time"] = rows["anchor"].to_numpy() + offset
    return rows


def _still_open(
    target: Target, rows: pd.DataFrame, visible: pa.Table, labels: pd.DataFrame
) -> pd.DataFrame:
    """Leave out rows whose entity was closed by T as known at T, or whose label came before T,
    known or not.
    """
    closings = [_moments(target, visible, n) for n in target.closed_by]
    known = [c.assign(moment=c[["moment", "known"]].max(axis=1)) for c in closings]
    ends = pd.concat([labels, *known]).groupby("entity")["moment"].min()
    end = rows["entity"].map(ends).fillna(log.NEVER)
    return rows[rows["time"] <= end].copy()


def _happens_within(rows: pd.DataFrame, labels: pd.DataFrame, horizon_days: float) -> pd.Series:
    first = rows["entity"].map(labels.groupby("entity")["moment"].min())
    return (first >= rows["time"]) & (first < rows["time"] + _days(horizon_days))


def _moments(target: Target, events: pa.Table, named: Named) -> pd.DataFrame:
    wanted = log.named(events, named.kind, named.names)
    found = events.filter(pc.and_(wanted, pc.is_valid(events[target.entity])))
    return pd.DataFrame(
        {
            "entity": found[target.entity].to_numpy(zero_copy_only=False),
            "account": found["account"].to_numpy(zero_copy_only=False),
            "moment": log.microseconds(found["event_time"]),
            "known": log.microseconds(found["known_at"]),
        }
    )


def _table(rows: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    ordered = rows.sort_values(["entity", "time"])
    columns = {name: pa.array(ordered[name], from_pandas=True) for name in schema.names}
    columns["time"] = columns["time"].cast(pa.int64()).cast(log.MICROSECONDS)
    return pa.table({n: c.cast(schema.field(n).type) for n, c in columns.items()}, schema=schema)


def _days(days: float) -> int:
    return round(days * DAY)


def _micros(moment: datetime) -> int:
    return pa.scalar(moment, log.MICROSECONDS).cast(pa.int64()).as_py()  # type: ignore[no-any-return]
