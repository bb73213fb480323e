"""Formulations of distinct, min, max and last for Polars.

`join`, the plain one: join on the account, filter, aggregate by spine row and name with conditions.
`ranges`: no join; the events of an account and name stand in order of time, so those of the longest
window are a range of places for each spine row. "Last" is the greatest place in that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tests.bench import features_data as data
from tests.bench import features_polars as shared

if TYPE_CHECKING:
    from polars._typing import EngineType

NAMES = list(data.OTHER_NAMES)
PLACES = [list(data.NAMES).index(name) for name in NAMES]
LONGEST = max(data.OTHER_DAYS) * data.DAY
AGE = pl.col("time") - pl.col("event_time")
INSIDE = (pl.col("enter") <= pl.col("time")) & (pl.col("time") < pl.col("replaced"))
COLUMNS = ("place", "account", "other", "event_time", "enter", "replaced", "number", "text")


def join(events: pl.DataFrame, spine: pl.DataFrame) -> pl.DataFrame:
    """All at once in the streaming engine."""
    return _joined(_chosen(events, pl.col("event_time")), spine, engine="streaming")


def join_chunks(events: pl.DataFrame, spine: pl.DataFrame) -> pl.DataFrame:
    """Chunk by chunk in the other engine."""
    chosen = _chosen(events, pl.col("event_time"))
    chunks = shared.chunks(chosen, spine)
    return pl.concat(_joined(chosen, chunk, engine="in-memory") for chunk in chunks)


def ranges(events: pl.DataFrame, spine: pl.DataFrame) -> pl.DataFrame:
    """Ranges of places; for the accounts of a bucket, else the key is too long."""
    events, spine = shared.keyed(events, spine)
    start = events["event_time"].min()
    group = pl.col("name").cast(pl.Int64) * spine["code"].n_unique() + pl.col("code")
    chosen = _chosen(events, group * 2**shared.BITS + pl.col("event_time") - start)
    parts = []
    for place in PLACES:
        first = (place * spine["code"].n_unique() + pl.col("code")) * 2**shared.BITS
        after = [(pl.col("time") - start - window).clip(0) for window in (LONGEST, 0)]
        found = [chosen["key"].search_sorted(spine.select(first + a).to_series()) for a in after]
        parts.append(spine.select("time", low=found[0], high=found[1]))
    asked = pl.concat(parts).with_columns(cell=pl.int_range(pl.len()))
    made = [_of_ranges(chosen, chunk) for chunk in _range_chunks(asked)]
    return _complete(pl.concat(made), chosen, spine)


def _range_chunks(asked: pl.DataFrame) -> list[pl.DataFrame]:
    pairs = (pl.col("high") - pl.col("low")).cast(pl.Int64).cum_sum() // shared.CHUNK_PAIRS
    return asked.with_columns(chunk=pairs).partition_by("chunk", include_key=False)


def _of_ranges(chosen: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    pairs = asked.select("cell", "time", place=pl.int_ranges("low", "high")).explode(
        "place", empty_as_null=False
    )
    columns = ("event_time", "enter", "replaced", "number", "text")
    pairs = pairs.hstack(chosen.select(columns)[pairs["place"]])
    return pairs.lazy().filter(INSIDE).group_by("cell").agg(_columns()).collect()


def _chosen(events: pl.DataFrame, key: pl.Expr) -> pl.DataFrame:
    """Return the events of the names in order of `key`, then as "last" says; `place` is theirs."""
    wanted = events.filter(pl.col("name").is_in(PLACES)).with_columns(key=key)
    ordered = wanted.sort("key", "known_at", "event_id").with_row_index("place")
    return ordered.with_columns(
        other=pl.col("name").replace_strict(PLACES, range(len(PLACES)), return_dtype=pl.Int64),
        text=pl.col("text").cast(pl.Categorical).to_physical(),
    )


def _joined(chosen: pl.DataFrame, spine: pl.DataFrame, *, engine: EngineType) -> pl.DataFrame:
    asked = spine.lazy().with_columns(cell=pl.int_range(pl.len()))
    pairs = asked.join(chosen.lazy().select(COLUMNS), on="account")
    inside = pairs.filter(INSIDE & (pl.lit(LONGEST) >= AGE))
    cells = inside.group_by(cell=pl.col("other") * len(spine) + pl.col("cell")).agg(_columns())
    return _complete(cells.collect(engine=engine), chosen, spine)


def _columns() -> list[pl.Expr]:
    """Return the aggregates of a cell; "last" as a place."""
    made = []
    for days in data.OTHER_DAYS:
        number, place, text = (_within(days, name) for name in ("number", "place", "text"))
        made += [
            text.drop_nulls().n_unique().alias(f"distinct_{days}d"),
            number.min().alias(f"min_{days}d"),
            number.max().alias(f"max_{days}d"),
            place.max().alias(f"last_{days}d"),
        ]
    return made


def _within(days: int, column: str) -> pl.Expr:
    return pl.when(pl.lit(days * data.DAY) >= AGE).then(column)


def _complete(cells: pl.DataFrame, chosen: pl.DataFrame, spine: pl.DataFrame) -> pl.DataFrame:
    """Return a row per spine row, with the number of the event that stands at "last"."""
    every = shared.in_order(cells, len(spine) * len(NAMES))
    numbers = [
        chosen["number"].gather(every[f"last_{d}d"]).alias(f"last_{d}d") for d in data.OTHER_DAYS
    ]
    none = pl.col("^distinct_.*$").fill_null(0).cast(pl.Int64)
    return shared.wide(every.with_columns(*numbers, none), spine["row"], NAMES)
