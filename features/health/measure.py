"""The health of every column of a table of feature rows. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster import canonical
from cluster.errors import WrongUse
from features import log
from features.health.sketch import Numbers, Texts, drift, limit

if TYPE_CHECKING:
    from features.health.sketch import Sketch

LEAST_PSI = 0.25  # from here on a shift counts, however many rows there are (Siddiqi 2006)
EMPTY, CONSTANT, DRIFTED = "empty", "constant", "drifted"
HEALTH = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),
        pa.field("snapshot", pa.int64(), nullable=False),
        pa.field("feature", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("as_of", log.MICROSECONDS),  # the knowledge cut of the snapshot
        pa.field("known_to", log.MICROSECONDS),  # newest known_at that it saw
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("nulls", pa.int64(), nullable=False),
        pa.field("null_share", pa.float64()),  # null without rows
        pa.field("distinct", pa.int64(), nullable=False),  # values; null is none
        pa.field("min", pa.float64()),  # of numbers, as are max and mean
        pa.field("max", pa.float64()),
        pa.field("mean", pa.float64()),
        pa.field("sketch", pa.string(), nullable=False),  # JSON: see sketch.py
        pa.field("before", pa.int64()),  # the snapshot that it is compared with
        pa.field("psi", pa.float64()),  # how far it moved since
        pa.field("finding", pa.string()),  # EMPTY, CONSTANT or DRIFTED; null: nothing stands out
    ]
)
OF_ALL = ("table", "snapshot", "as_of", "known_to", "before")  # the same for every feature
OF_ONE = pa.schema([field for field in HEALTH if field.name not in OF_ALL])


def measured(rows: pa.Table, before: pa.Table | None = None) -> pa.Table:
    """Return the health of every column of `rows`, numbers and texts: OF_ONE columns. `before` is
    what was returned for earlier rows, to measure the drift from.
    """
    sketches = {} if before is None else _sketches(before)
    found = [_measured(name, rows[name], sketches.get(name)) for name in rows.column_names]
    return pa.Table.from_pylist(found, OF_ONE)


def _sketches(before: pa.Table) -> dict[str, Sketch]:
    rows = before.select(["feature", "sketch"]).to_pylist()
    return {row["feature"]: json.loads(row["sketch"]) for row in rows}


def _measured(name: str, column: pa.ChunkedArray, before: Sketch | None) -> dict[str, Any]:
    held, rows = _held(name, column), len(column)
    counts = None if before is None else held.counts(before)
    figures, psi, is_far = held.figures, None, False
    if before is not None and counts is not None:
        psi = drift(before["counts"], counts)
        is_far = psi is not None and psi > limit(before["counts"], counts, LEAST_PSI)
    return {
        "feature": name,
        "type": str(column.type),
        "rows": rows,
        "nulls": held.nulls,
        "null_share": held.nulls / rows if rows else None,
        **figures,
        "sketch": canonical.dumps(held.sketch).decode(),
        "psi": psi,
        "finding": _finding(rows, held.nulls, figures["distinct"], is_far),
    }


def _held(name: str, column: pa.ChunkedArray) -> Numbers | Texts:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Numbers.of(column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Texts.of(column)
    raise WrongUse(f"a feature must be a number or a text, got '{name}' of {kind}: leave it out")


def _finding(rows: int, nulls: int, distinct: int, is_far: bool) -> str | None:
    if rows and nulls == rows:
        return EMPTY
    if rows and not nulls and distinct == 1:
        return CONSTANT
    return DRIFTED if is_far else None
