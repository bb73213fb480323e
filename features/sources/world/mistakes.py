"""Mistakes: corrections that arrive later, and broken rows that a contract must catch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.sources.world.chance import DAY, stream
from features.sources.world.rows import SOURCE

if TYPE_CHECKING:
    from features.sources.world.config import WorldConfig

FIRST_DAYS, LAST_DAYS = 1.0, 21.0  # until a correction is known
WRONG_FACTORS = (0.5, 0.8, 1.25, 2.0)
# how a row is broken -> kind and name of the rows that can break like that
FAULTS = {
    "unknown name": ("touch", "web_visit"),
    "negative seconds": ("touch", "web_visit"),
    "missing entity": ("stage", "evaluation"),
    "absent time": ("activity", "call"),
    "unknown kind": ("usage", "session"),
    "address in clear": ("touch", "email_opened"),
}


def misread(config: WorldConfig, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Make some amounts of new deals wrong at first.

    Returns the rows with wrong amounts, and later known versions of the same rows with right ones.
    """
    rng = stream(config.seed, "corrections")
    is_misread = _is(rows, "opportunity", "created").to_numpy()
    is_misread[is_misread] = rng.random(is_misread.sum()) < config.corrections
    right = rows.filter(pa.array(is_misread))
    wrong = right["number"].to_numpy() * rng.choice(WRONG_FACTORS, right.num_rows)
    wait = rng.uniform(FIRST_DAYS * DAY, LAST_DAYS * DAY, right.num_rows).astype(np.int64)
    known = pa.array(log.microseconds(right["known_at"]) + wait).cast(log.MICROSECONDS)
    at_first = pc.replace_with_mask(
        rows["number"], pa.array(is_misread), pa.array(wrong.round().astype(np.int64))
    )
    return _with(rows, {"number": at_first}), _with(right, {"known_at": known})


def broken(config: WorldConfig, rows: pa.Table) -> dict[str, pa.Table]:
    """Return broken copies of good rows under row keys of their own, by what is wrong with them."""
    rng, wanted = stream(config.seed, "faults"), round(config.faults * rows.num_rows)
    found: dict[str, pa.Table] = {}
    first = 0
    for place, (fault, (kind, name)) in enumerate(FAULTS.items()):
        good = rows.filter(_is(rows, kind, name))
        count = (wanted + place) // len(FAULTS) if good.num_rows else 0
        taken = good.take(pa.array(rng.integers(0, max(1, good.num_rows), count)))
        keys = [f"{SOURCE}:fault:{number}" for number in range(first, first + count)]
        found[fault] = _broken(_with(taken, {"row_key": keys}), fault)
        first += count
    return found


def _broken(rows: pa.Table, fault: str) -> pa.Table:
    count = rows.num_rows
    if fault == "unknown name":
        return _with(rows, {"name": ["web_vist"] * count})
    if fault == "negative seconds":
        return _with(rows, {"number": pc.negate(rows["number"])})
    if fault == "missing entity":
        return _with(rows, {"opportunity": pa.nulls(count, pa.string())})
    if fault == "absent time":
        return _with(rows, {"event_time": pa.nulls(count, log.MICROSECONDS)})
    if fault == "unknown kind":
        return _with(rows, {"kind": ["usge"] * count})
    return _with(rows, {"person": [f"jane.doe{place}@example.com" for place in range(count)]})


def _is(rows: pa.Table, kind: str, name: str) -> pa.ChunkedArray:
    return pc.and_(pc.equal(rows["kind"], kind), pc.equal(rows["name"], name))


def _with(rows: pa.Table, columns: dict[str, object]) -> pa.Table:
    for name, values in columns.items():
        field, place = log.CANDIDATE.field(name), rows.column_names.index(name)
        is_arrow = isinstance(values, pa.Array | pa.ChunkedArray)
        rows = rows.set_column(place, field, values if is_arrow else pa.array(values, field.type))
    return rows
