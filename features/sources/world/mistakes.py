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


def corrected(config: WorldConfig, rows: pa.Table) -> pa.Table:
    """Return later versions of some amounts of new deals: the same row, known later, another number."""
    rng = stream(config.seed, "corrections")
    deals = rows.filter(_is(rows, "opportunity", "created"))
    deals = deals.filter(pa.array(rng.random(deals.num_rows) < config.corrections))
    factor = rng.choice(WRONG_FACTORS, deals.num_rows)
    number = (deals["number"].to_numpy() * factor).round().astype(np.int64)
    wait = rng.uniform(FIRST_DAYS * DAY, LAST_DAYS * DAY, deals.num_rows).astype(np.int64)
    known = log.microseconds(deals["known_at"]) + wait
    return _with(deals, {"number": number, "known_at": pa.array(known).cast(log.MICROSECONDS)})


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
        field = log.CANDIDATE.field(name)
        rows = rows.set_column(rows.column_names.index(name), field, [pa.array(values, field.type)])
    return rows
