"""What the point-in-time join must give, by brute force in numpy; shares no code with features/.

For each entity every moment is held against every feature row, then the last of those that may be
seen is taken, in the order of (event_time, known_at). The data has no two rows of an entity alike
in both times, so the answer is one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq


def expected(folder: Path) -> pd.DataFrame:
    """Return the right values per row of the spine, in the order of its column `row`."""
    features = pq.read_table(folder / "features.parquet").to_pandas()
    spine = pq.read_table(folder / "spine.parquet").to_pandas()
    features = features.sort_values(["entity", "event_time", "known_at"], ignore_index=True)
    if features.duplicated(["entity", "event_time", "known_at"]).any():
        raise ValueError("feature rows of an entity must differ in a time, got two alike")
    found = _found(features, spine)
    values = features.drop(columns=["entity", "event_time", "known_at"])
    answer = values.take(np.maximum(found, 0)).reset_index(drop=True)
    answer[found < 0] = None
    return answer.set_index(spine["row"].to_numpy()).sort_index()


def _found(features: pd.DataFrame, spine: pd.DataFrame) -> np.ndarray:
    """Return per row of the spine the place of its feature row, or -1: (rows,) int64."""
    event, known, asked = (
        column.to_numpy("datetime64[us]").astype(np.int64)
        for column in (features["event_time"], features["known_at"], spine["time"])
    )
    found = np.full(len(spine), -1)
    entity = features["entity"].to_numpy(object)
    for name, places in spine.groupby("entity").indices.items():
        low, high = np.searchsorted(entity, [name, name + "\0"])
        moments = asked[places][:, None]
        may_be_seen = (event[low:high] < moments) & (known[low:high] <= moments)
        last = high - 1 - np.argmax(may_be_seen[:, ::-1], axis=1) if high > low else -1
        found[places] = np.where(may_be_seen.any(axis=1), last, -1)
    return found


def on_the_dot(folder: Path) -> pd.Series:
    """Return which rows of the spine ask at exactly an event time of their entity."""
    keys = {"entity": "entity", "event_time": "time"}
    features = pq.read_table(folder / "features.parquet", columns=list(keys)).to_pandas()
    spine = pq.read_table(folder / "spine.parquet").to_pandas()
    events = features.rename(columns=keys).drop_duplicates().assign(is_there=True)
    found = spine.merge(events, how="left", on=["entity", "time"]).set_index("row")
    return found["is_there"].notna().sort_index()


def share_right(answer: pd.DataFrame, right: pd.DataFrame) -> float:
    """Return the share of the cells of `right` that `answer` has too; a row left out is wrong."""
    rows = answer.drop_duplicates("row").set_index("row").reindex(right.index)
    is_there = right.index.isin(answer["row"])
    same = sum(_same(rows[name], right[name])[is_there].sum() for name in right.columns)
    return float(same) / right.size


def _same(got: pd.Series, want: pd.Series) -> np.ndarray:
    absent = got.isna().to_numpy() & want.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(want):
        numbers = (column.astype("float64").to_numpy() for column in (got, want))
        return absent | np.equal(*numbers)  # type: ignore[no-any-return]
    texts = (column.astype(object).to_numpy() for column in (got, want))
    return absent | np.equal(*texts).astype(bool)  # type: ignore[no-any-return]
