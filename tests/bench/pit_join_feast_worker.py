"""Feast's part of the bench of the point-in-time join; run by the Python of an environment of its
own: WORKER FOLDER SMALL STORE OUT.

The documented use: a FileSource over the Parquet file, the local provider, an entity frame and
`get_historical_features(...).to_df()`, told to leave out rows that were created after the moment
asked for. Timed after the imports, after `apply` and after a join of the small files; the last
line is one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, types

KINDS = {"int64": types.Int64, "double": types.Float64, "string": types.String}
KEYS = ("entity", "event_time", "known_at")


def store_of(folder: Path, store: str, home: Path) -> tuple[FeatureStore, list[str]]:
    """Return a store over features.parquet, and the names of its features."""
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(home / "registry.db"),
        online_store={"type": "sqlite", "path": str(home / "online.db")},
        offline_store={"type": store},
        entity_key_serialization_version=3,
    )
    path = folder / "features.parquet"
    lead = Entity(name="entity", join_keys=["entity"])
    fields = [f for f in pq.read_schema(path) if f.name not in KEYS]
    view = FeatureView(
        name="leads",
        entities=[lead],
        ttl=timedelta(0),  # no limit
        schema=[Field(name=f.name, dtype=KINDS[str(f.type)]) for f in fields],
        source=FileSource(
            path=str(path), timestamp_field="event_time", created_timestamp_column="known_at"
        ),
    )
    opened = FeatureStore(config=config)
    opened.apply([lead, view])
    return opened, [f"leads:{field.name}" for field in fields]


def joined(opened: FeatureStore, names: list[str], folder: Path) -> pd.DataFrame:
    """Return the spine with its features."""
    spine = pd.read_parquet(folder / "spine.parquet").rename(columns={"time": "event_timestamp"})
    asked: dict[str, Any] = {"entity_df": spine, "features": names}
    return opened.get_historical_features(**asked, filter_by_created_timestamp=True).to_df()


def main(folder: Path, small: Path, store: str, out: Path) -> None:
    """Time one join and keep its answer."""
    warnings.filterwarnings("ignore")
    (out / "small").mkdir(parents=True, exist_ok=True)
    joined(*store_of(small, store, out / "small"), small)
    opened, names = store_of(folder, store, out)
    begun = time.perf_counter()
    answer = joined(opened, names, folder)
    seconds = time.perf_counter() - begun
    answer.to_parquet(out / "answer.parquet")
    print(json.dumps({"seconds": seconds, "rows": len(answer)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
