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
from serving.forecast.given import PARTS
from serving.forecast.recalibration import QUANTILE_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import pandas as pd

    from serving.forecast.given import Outcome

TABLE = "forecast"
WORDS = ("scenario", "dimension", "value", "part", "measure", "span")
SCHEMA = pa.schema(
    [
        pa.field("run", pa.string(), nullable=False),
        pa.field("as_of", log.MICROSECONDS, nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in WORDS),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("mean", pa.float64(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in QUANTILE_NAMES),
    ]
)
_FACTS = b"funnelcast"


def ref(scenario: str) -> str:
    """Return the name of the ref to the newest run of a scenario."""
    return f"forecasts/{scenario}"


def rows(table: pd.DataFrame, run: str, as_of: datetime) -> pa.Table:
    """Return the answers as rows of the forecast table."""
    return pa.Table.from_pandas(table.assign(run=run, as_of=as_of), SCHEMA, preserve_index=False)


def blob(outcomes: Mapping[str, Outcome], facts: Mapping[str, object]) -> bytes:
    """Return every draw and what is said about the run as one Arrow file; equal runs, equal bytes.

    Columns: scenario, draw, step (1, 2, ...), then won and cents of each part, open, contacts,
    waiting and unsubscribed, all whole numbers.
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
    draws, steps = outcome.lost_to.shape
    draw, step = np.divmod(np.arange(draws * steps), steps)
    by_part = {"won": outcome.won.sum(axis=2), "cents": outcome.cents.sum(axis=2)}
    told = {
        "open": outcome.open.sum(axis=(2, 3), dtype=np.int64),
        "contacts": outcome.contacts.sum(axis=(2, 3)),
        "waiting": outcome.waiting.sum(axis=2),
        "unsubscribed": outcome.lost_to,
    }
    return pa.table(
        {
            "scenario": pa.array([scenario] * (draws * steps), pa.string()),
            "draw": draw,
            "step": step + 1,
            **{
                f"{what}_{part}": counts[..., place].ravel()
                for what, counts in by_part.items()
                for place, part in enumerate(PARTS)
            },
            **{name: counts.ravel() for name, counts in told.items()},
        }
    )
