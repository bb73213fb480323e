"""Formulations of counts and sums for Polars.

`join`, the plain one: join on the account, filter, aggregate with conditions. `names`: the same by
spine row and name, with a sixth of the conditions. `asof`: prefix sums over the marks at which
events enter and leave each window, looked up with asof joins. `merge`: the same with account, name
and time in one integer, and one order of marks for all windows of those events that leave in the
order in which they happened (not corrected, and known before the shortest window is over).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tests.bench import features_data as data
from tests.bench import features_polars as shared

if TYPE_CHECKING:
    from polars._typing import EngineType

NAMES = list(data.NAMES)
LONGEST, SHORTEST = (pick(data.SUM_DAYS) * data.DAY for pick in (max, min))
AGE = pl.col("time") - pl.col("event_time")


def join(events: pl.DataFrame, spine: pl.DataFrame) -> pl.DataFrame:
    """All at once in the streaming engine."""
    return _by_row(events, spine, engine="streaming")


def join_chunks(events: pl.DataFrame, spine: pl.DataFrame) -> pl.DataFrame:
    """Chunk by chunk in the other engine."""
    chunks = shared.chunks(events, spine)
    return pl.concat(_by_row(events, chunk, engine="in-memory") for chunk in chunks)


def names(events: pl.DataFrame, spine: pl.DataFrame) -> pl.DataFrame:
    """All at once in the streaming engine, by row and name."""
    return _by_name(events, spine, engine="streaming")


def names_chunks(events: pl.DataFrame, spine: pl.DataFrame) -> pl.DataFrame:
    """Chunk by chunk in the other engine, by row and name."""
    chunks = shared.chunks(events, spine)
    return pl.concat(_by_name(events, chunk, engine="in-memory") for chunk in chunks)


def _joined(events: pl.DataFrame, spine: pl.DataFrame) -> pl.LazyFrame:
    columns = ("account", "name", "event_time", "enter", "replaced", "number")
    pairs = spine.lazy().join(events.lazy().select(columns), on="account")
    inside = (pl.col("enter") <= pl.col("time")) & (pl.col("time") < pl.col("replaced"))
    return pairs.filter(inside & (AGE <= LONGEST))


def _by_row(events: pl.DataFrame, spine: pl.DataFrame, *, engine: EngineType) -> pl.DataFrame:
    columns = [
        _measure(
            (pl.col("name") == place) & (days * data.DAY >= AGE), word, f"{name}_{word}_{days}d"
        )
        for place, name in enumerate(NAMES)
        for word in data.SUMS
        for days in data.SUM_DAYS
    ]
    made = _joined(events, spine).group_by("row").agg(columns).collect(engine=engine)
    return spine.select("row").join(made, on="row", how="left").fill_null(0)


def _by_name(events: pl.DataFrame, spine: pl.DataFrame, *, engine: EngineType) -> pl.DataFrame:
    columns = [
        _measure(days * data.DAY >= AGE, word, f"{word}_{days}d")
        for word in data.SUMS
        for days in data.SUM_DAYS
    ]
    cell = pl.col("name").cast(pl.Int64) * len(spine) + pl.col("place")
    pairs = _joined(events, spine.with_row_index("place"))
    cells = pairs.group_by(cell=cell).agg(columns).collect(engine=engine)
    every = shared.in_order(cells, len(spine) * len(NAMES)).fill_null(0)
    return shared.wide(every, spine["row"], NAMES)


def _measure(inside: pl.Expr, word: str, name: str) -> pl.Expr:
    values = inside if word == "count" else pl.when(inside).then("number")
    return values.sum().cast(pl.Int64).alias(name)


def asof(events: pl.DataFrame, spine: pl.DataFrame) -> pl.DataFrame:
    """Prefix sums by account and name."""
    events, spine = shared.keyed(events, spine)
    groups = spine["code"].n_unique()
    group = pl.col("name").cast(pl.Int64) * groups + pl.col("code")
    events = events.with_columns(pl.col("number").fill_null(0), group=group)
    asked = [spine.select("time", group=pl.col("code") + n * groups) for n in range(len(NAMES))]
    needles = pl.concat(asked).with_row_index("cell").sort("time")
    found = {"enter": _before(events, pl.col("enter"), needles)}
    for days in data.SUM_DAYS:
        leave = pl.min_horizontal(pl.col("event_time") + days * data.DAY + 1, "replaced")
        found[f"{days}d"] = _before(events, pl.max_horizontal(leave, "enter"), needles)
    made = _differences(found).with_columns(needles["cell"]).sort("cell").drop("cell")
    return shared.wide(made, spine["row"], NAMES)


def _before(events: pl.DataFrame, at: pl.Expr, needles: pl.DataFrame) -> pl.DataFrame:
    marks = events.select("group", "number", time=at).sort("time")
    marks = marks.select(
        "group",
        "time",
        count=pl.int_range(1, pl.len() + 1).over("group"),
        sum=pl.col("number").cum_sum().over("group"),
    )
    found = needles.join_asof(marks, on="time", by="group", check_sortedness=False)
    return found.select("count", "sum").fill_null(0)


def merge(events: pl.DataFrame, spine: pl.DataFrame) -> pl.DataFrame:
    """Prefix sums over one integer key; for the accounts of a bucket, else the key is too long."""
    events, spine = shared.keyed(events, spine)
    start, accounts = events["event_time"].min(), spine["code"].n_unique()
    group = (pl.col("name").cast(pl.Int64) * accounts + pl.col("code")) * 2**shared.BITS
    events = events.with_columns(pl.col("number").fill_null(0), group=group - start)
    spine = spine.with_columns(group=pl.col("code") * 2**shared.BITS - start)
    late = pl.col("enter") > pl.col("event_time") + SHORTEST
    late |= pl.col("replaced") != shared.NEVER
    regular, others = events.filter(~late), events.filter(late)
    happened = _marks(regular, pl.col("event_time") + 1)
    entered, now = _marks(events, pl.col("enter")), _needles(spine, accounts, 0)
    found = {"enter": _at(entered, now)}
    for days in data.SUM_DAYS:
        leave = pl.min_horizontal(pl.col("event_time") + days * data.DAY + 1, "replaced")
        left = _marks(others, pl.max_horizontal(leave, "enter"))
        then = _needles(spine, accounts, days * data.DAY)
        found[f"{days}d"] = _at(happened, then) + _at(left, now)
    return shared.wide(_differences(found), spine["row"], NAMES)


def _needles(spine: pl.DataFrame, accounts: int, window: int) -> pl.DataFrame:
    """Return the sorted keys of T - window for every name, not before the account's first."""
    first = pl.col("code") * 2**shared.BITS
    keys = spine.select(key=pl.max_horizontal(pl.col("group") + pl.col("time") - window, first))
    every = [keys + place * accounts * 2**shared.BITS for place in range(len(NAMES))]
    return pl.concat(every)


def _marks(events: pl.DataFrame, at: pl.Expr) -> pl.DataFrame:
    marks = events.select("number", key=pl.col("group") + at).sort("key")
    return marks.select("key", count=pl.int_range(1, pl.len() + 1), sum=pl.col("number").cum_sum())


def _at(marks: pl.DataFrame, needles: pl.DataFrame) -> pl.DataFrame:
    found = needles.join_asof(marks, on="key", check_sortedness=False)
    return found.select("count", "sum").fill_null(0)


def _differences(found: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Return what entered less what left each window."""
    entered = found.pop("enter")
    made = [
        (entered[word] - left[word]).alias(f"{word}_{days}")
        for days, left in found.items()
        for word in data.SUMS
    ]
    return pl.DataFrame(made)
