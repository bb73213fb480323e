"""What a run leaves behind: rows of the forecast table, and one blob with every draw.

The ref `forecasts/<scenario>` points at the blob; the rows of the table carry its name as `run`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cluster import canonical
from features import log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import pandas as pd

    from serving.forecast.funnel import Outcome

TABLE = "forecasts"
QUANTILES = ("p05", "p25", "p50", "p75", "p95")
SCHEMA = pa.schema(
    [
        pa.field("run", pa.string(), nullable=False),
        pa.field("as_of", log.MICROSECONDS, nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("part", pa.string(), nullable=False),
        pa.field("measure", pa.string(), nullable=False),
        pa.field("span", pa.string(), nullable=False),
        pa.field("week", pa.int64(), nullable=False),
        pa.field("mean", pa.float64(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in QUANTILES),
    ]
)
_FACTS = b"funnelcast"


def ref(scenario: str) -> str:
    """Return the name of the ref to the newest run of a scenario."""
    return f"forecasts/{scenario}"


def rows(table: pd.DataFrame, run: str, as_of: datetime) -> pa.Table:
    """Return the summary as rows of the forecast table."""
    return pa.Table.from_pandas(table.assign(run=run, as_of=as_of), SCHEMA, preserve_index=False)


def blob(outcomes: Mapping[str, Outcome], facts: Mapping[str, object]) -> bytes:
    """Return every draw and what is said about the run as one Arrow file; equal runs, equal bytes.

    Columns: scenario, draw, week (1, 2, ...), won_existing, won_new, cents_existing, cents_new and
    contacts (all levers), all whole numbers.
    """
    frames = [_draws(scenario, outcome) for scenario, outcome in outcomes.items()]
    table = pa.concat_tables(frames).replace_schema_metadata({_FACTS: canonical.dumps(dict(facts))})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def read(data: bytes) -> tuple[pa.Table, dict[str, object]]:
    """Return the draws and the facts of a blob."""
    table = pa.ipc.open_file(data).read_all()
    return table, json.loads((table.schema.metadata or {})[_FACTS])


def _draws(scenario: str, outcome: Outcome) -> pa.Table:
    draws, weeks, _ = outcome.won.shape
    draw, week = np.divmod(np.arange(draws * weeks), weeks)
    won, cents = outcome.won.reshape(-1, 2), outcome.cents.reshape(-1, 2)
    return pa.table(
        {
            "scenario": pa.array([scenario] * (draws * weeks), pa.string()),
            "draw": draw,
            "week": week + 1,
            "won_existing": won[:, 0],
            "won_new": won[:, 1],
            "cents_existing": cents[:, 0],
            "cents_new": cents[:, 1],
            "contacts": outcome.contacts.sum(axis=-1).ravel(),
        }
    )
