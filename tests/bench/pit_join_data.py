"""Ready-made features of many entities and the moments they are asked for, as two Parquet files.

Of the feature rows one in ten is late, by up to 14 days, and one in fifty is corrected: a second
row of the same event time, known later, with other values. One moment in twenty is exactly the
event time of a row of its entity, as it is where labels are events too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ENTITIES, ROWS, ASKED = 50_000, 2_000_000, 400_000
LATE, CORRECTED, ON_THE_DOT, ABSENT = 0.10, 0.02, 0.05, 0.03  # shares
START, DAY, DAYS = 1_700_000_000_000_000, 86_400_000_000, 365  # microseconds; days of history
LATEST = 14 * DAY
SEED = 1
MICROSECONDS = pa.timestamp("us", tz="UTC")
COLUMNS = (
    *("visits", "opens", "seats", "score"),
    *("spend", "share", "stage", "segment"),
)
STAGES = np.array(["new", "open", "working", "qualified", "proposal", "won", "lost"])


def write(folder: Path, rows: int, asked: int) -> None:
    """Write features.parquet and spine.parquet; entities in proportion to `rows`."""
    rng = np.random.default_rng(SEED)
    entities = max(1, rows * ENTITIES // ROWS)
    features = _features(rng, rows, entities)
    pq.write_table(features, folder / "features.parquet")
    pq.write_table(_spine(rng, asked, entities, features), folder / "spine.parquet")


def _features(rng: np.random.Generator, rows: int, entities: int) -> pa.Table:
    first = rows - int(rows * CORRECTED)
    code = rng.integers(0, entities, first)
    happened = START + rng.integers(0, DAYS * DAY, first)
    delay = np.where(rng.random(first) < LATE, rng.integers(1, LATEST, first), 0)
    again = rng.choice(first, rows - first, replace=False)
    known = happened + delay
    corrected = known[again] + rng.integers(1, LATEST, len(again))
    order = np.argsort(np.concatenate([known, corrected]))  # as they were learnt
    code = np.concatenate([code, code[again]])[order]
    table = {
        "entity": _names(code),
        "event_time": _moments(np.concatenate([happened, happened[again]])[order]),
        "known_at": _moments(np.concatenate([known, corrected])[order]),
    }
    return pa.table(table | _values(rng, rows))


def _values(rng: np.random.Generator, rows: int) -> dict[str, pa.Array]:
    segments = np.array([f"segment-{k:03}" for k in range(400)])
    values = (
        *(rng.integers(0, 100_000, rows) for _ in range(3)),
        *(rng.normal(size=rows) for _ in range(3)),
        *(names[rng.integers(0, len(names), rows)] for names in (STAGES, segments)),
    )
    absent = (rng.random(rows) < ABSENT for _ in values)
    return {
        name: pa.array(of, mask=mask)
        for name, of, mask in zip(COLUMNS, values, absent, strict=True)
    }


def _spine(rng: np.random.Generator, asked: int, entities: int, features: pa.Table) -> pa.Table:
    code = rng.integers(0, entities, asked)
    time = START + rng.integers(0, (DAYS + 14) * DAY, asked)
    entity = _names(code).to_pandas().to_numpy()
    dotted = rng.random(asked) < ON_THE_DOT
    picked = rng.integers(0, features.num_rows, int(dotted.sum()))
    time[dotted] = features["event_time"].cast(pa.int64()).to_numpy()[picked]
    entity[dotted] = features["entity"].to_pandas().to_numpy()[picked]
    columns = {"row": np.arange(asked), "entity": entity, "time": _moments(time)}
    return pa.table({name: pa.array(of) for name, of in columns.items()})


def _names(code: np.ndarray) -> pa.Array:
    names = pa.array([f"lead-{k:06}" for k in range(int(code.max(initial=0)) + 1)])
    return names.take(pa.array(code))


def _moments(microseconds: np.ndarray) -> pa.Array:
    return pa.array(microseconds).cast(MICROSECONDS)
