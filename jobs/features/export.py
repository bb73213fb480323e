"""The export to Feast: rows copied out of the newest snapshots, and the definitions over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import FunnelcastError, WrongUse
from features import log
from jobs.features import definitions
from jobs.features.definitions import CREATED, EVENT, MADE, name_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cluster.tables import Tables
    from features.views import View
    from jobs.features.snapshots import Held, Snapshots

__all__ = ["chosen", "name_of", "write"]

STORE, MODULE, DATA = "feature_store.yaml", "definitions.py", "data"


def chosen(
    snapshots: Snapshots, views: Sequence[View], table: str | None
) -> list[tuple[View, Held]]:
    """Return views with the snapshots that hold them in the version declared; FunnelcastError
    where there is none.
    """
    found = [
        (view, held)
        for view in views
        for held in snapshots.of_view(view.name, table)
        if held.views[view.name] == view.version
    ]
    if not found:
        names = ", ".join(view.name for view in views)
        raise FunnelcastError(
            f"an export must have rows, got none of {names} in the version declared: run"
            " `python -m jobs.materialize` first"
        )
    return found


def write(tables: Tables, views: Sequence[tuple[View, Held]], folder: Path) -> dict[str, int]:
    """Write a feature repository, in the place of an earlier one, and return how many rows of each
    table it holds; WrongUse for a folder with anything else in it.
    """
    _require_ours(folder)
    (folder / DATA).mkdir(parents=True, exist_ok=True)
    (folder / STORE).write_text(definitions.STORE, encoding="utf-8")
    (folder / MODULE).write_text(definitions.module(views), encoding="utf-8")
    for stale in (folder / DATA).glob("*.parquet"):
        stale.unlink()
    by_table: dict[str, list[tuple[View, Held]]] = {}
    for view, held in views:
        by_table.setdefault(held.table, []).append((view, held))
    return {
        table: _copy(tables, those, folder / DATA / f"{table}.parquet")
        for table, those in by_table.items()
    }


def _require_ours(folder: Path) -> None:
    store = folder / STORE
    if folder.is_dir() and any(folder.iterdir()):
        if store.is_file() and store.read_text(encoding="utf-8").startswith(MADE):
            return
        raise WrongUse(f"--feast must be a new folder or one of an export, got '{folder}'")
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"--feast must be a folder, got the file '{folder}'")


def _copy(tables: Tables, those: Sequence[tuple[View, Held]], path: Path) -> int:
    """Copy the views of a snapshot into one Parquet file, data file by data file; returns its
    rows.
    """
    (first, held), *_ = those
    features = [feature for view, _ in those for feature in view.features]
    schema = pa.schema(
        [(first.entity, pa.string()), (EVENT, log.MICROSECONDS), (CREATED, log.MICROSECONDS)]
        + [(feature.name, feature.type) for feature in features]
    )
    rows, draft = 0, path.with_suffix(".draft")
    with pq.ParquetWriter(draft, schema) as writer:
        for file in tables.files(held.table, held.snapshot):
            names = ["entity", "time", *(feature.name for feature in features)]
            part = tables.read_files(held.table, [file], names)
            columns = [part[name] for name in ("entity", "time", *names[1:])]
            writer.write_table(pa.table(columns, names=schema.names).cast(schema))
            rows += part.num_rows
    draft.replace(path)
    return rows
