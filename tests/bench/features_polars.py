"""Polars as a peer of the feature bench: what its formulations share.

Events are read with the moment they enter force and the moment a later version replaces them; only
rows with several versions are sorted for that. A formulation works on the whole log or bucket by
bucket in two threads.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING

import polars as pl

from tests.bench import features_data as data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import pyarrow as pa

    type Formulation = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]

THREADS = 2
NEVER = 2**63 - 1
BITS = 46  # of a time in a key, in microseconds: two years
CHUNK_PAIRS = 4_000_000  # of an event and a spine row in memory at once, of each thread
COLUMNS = ("event_id", "account", "name", "event_time", "known_at", "number")
ROW = pl.col("event_id").bin.head(8).bin.reinterpret(dtype=pl.UInt64, endianness="big")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A formulation of each part that is asked for, and how the log is cut."""

    formulations: dict[str, Formulation]  # by part
    by_bucket: bool


def run(home: Path, plan: Plan) -> tuple[float, pa.Table]:
    """Compute the parts of `plan`; returns the seconds it took and a table of row and columns."""
    parts = data.pieces(home)
    begun = time.perf_counter()
    if plan.by_bucket:
        with ThreadPoolExecutor(THREADS) as pool:
            made = pl.concat(pool.map(partial(_piece, plan), parts))
    else:
        made = _piece(plan, data.together(parts))
    return time.perf_counter() - begun, made.to_arrow()


def _piece(plan: Plan, piece: data.Piece) -> pl.DataFrame:
    events = opened(piece.events, with_text="others" in plan.formulations)
    spine = pl.read_parquet(piece.spine).with_columns(pl.col("time").to_physical())
    made = [compute(events, spine) for compute in plan.formulations.values()]
    return reduce(lambda a, b: a.join(b, on="row"), made)


def opened(files: list[str], *, with_text: bool) -> pl.DataFrame:
    """Return events with times in microseconds, `enter` and `replaced`, names as numbers."""
    columns = (*COLUMNS, "text") if with_text else COLUMNS
    raw = pl.scan_parquet(files).filter(pl.col("kind") == data.KIND).select(columns).collect()
    raw = raw.with_columns(pl.col("event_time", "known_at").to_physical())
    return raw.with_columns(
        replaced=replaced(raw),
        enter=pl.max_horizontal(pl.col("event_time") + 1, "known_at"),
        name=pl.col("name").cast(pl.Enum(list(data.NAMES))).to_physical(),
    )


def replaced(raw: pl.DataFrame) -> pl.Series:
    """Return when the next known version of the same row came, or NEVER."""
    rows = raw.select(row=ROW).with_row_index("place")
    ordered = rows["row"].sort()
    again = ordered.filter(ordered == ordered.shift(1)).unique().to_frame()
    several = rows.join(again, on="row", how="semi")
    versions = several.hstack(raw[several["place"]].select("known_at", "event_id"))
    versions = versions.sort("row", "known_at", "event_id")
    following = versions.select("place", at=pl.col("known_at").shift(-1).over("row")).drop_nulls()
    never = pl.repeat(NEVER, len(raw), dtype=pl.Int64, eager=True)
    return never.scatter(following["place"], following["at"])


def chunks(events: pl.DataFrame, spine: pl.DataFrame) -> Iterable[pl.DataFrame]:
    """Cut the spine so that the pairs of a chunk with the events of its accounts fit in memory."""
    many = events.group_by("account").len()
    sized = spine.join(many, on="account", how="left").sort("account")
    pairs = sized["len"].fill_null(0).cast(pl.Int64).cum_sum() // CHUNK_PAIRS
    return sized.drop("len").with_columns(chunk=pairs).partition_by("chunk", include_key=False)


def keyed(events: pl.DataFrame, spine: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give accounts numbers: `code` of both, events of other accounts away, and the spine sorted by
    it and T.
    """
    codes = spine.select("account").unique().with_row_index("code")
    codes = codes.with_columns(pl.col("code").cast(pl.Int64))
    events = events.join(codes, on="account")
    return events, spine.join(codes, on="account").sort("code", "time")


def in_order(cells: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return `cells` with a row for each of `count` numbers in its column `cell`, in order."""
    every = pl.select(cell=pl.int_range(count))
    return every.join(cells, on="cell", how="left", maintain_order="left").drop("cell")


def wide(cells: pl.DataFrame, rows: pl.Series, names: list[str]) -> pl.DataFrame:
    """Return a row per spine row from rows per name and spine row, in that order."""
    made = {
        f"{name}_{column.name}": column.slice(place * len(rows), len(rows))
        for place, name in enumerate(names)
        for column in cells
    }
    return pl.DataFrame({"row": rows, **made})
