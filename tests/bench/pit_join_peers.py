"""The ways to join, each from the same two Parquet files to a table in memory, on two threads.

The plain ones look at event times alone, as an as-of join does, so they join rows nobody knew yet.
The `known` ones are right: a row enters at max(event_time + 1, known_at) and only if none newer has
entered before, so that the latest that entered is the answer; then an as-of join over that moment.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

THREADS = 2
VALUES = "visits, opens, seats, score, spend, share, stage, segment"
KNOWN = f"""
with entering as (
    select entity, event_time, known_at, file_row_number as place,
        greatest(event_time + interval 1 microsecond, known_at) as enter
    from read_parquet('{{features}}', file_row_number = true)),
ordered as (
    select *,
        max(event_time) over (partition by entity order by enter, event_time, known_at
            rows between unbounded preceding and current row) as newest,
        lead(enter) over (partition by entity order by enter, event_time, known_at) as upcoming
    from entering),
changes as (
    select * from ordered where event_time = newest and enter is distinct from upcoming),
found as (
    select s.*, place from '{{spine}}' s
    asof left join changes c on s.entity = c.entity and s.time >= c.enter)
select found.* exclude (place), {VALUES} from found
left join read_parquet('{{features}}', file_row_number = true) f on f.file_row_number = place
"""
PLAIN = f"""
select s.*, {VALUES} from '{{spine}}' s
asof left join '{{features}}' f on s.entity = f.entity and s.time > f.event_time
"""


def timed(name: str, folder: Path, small: Path, answer: Path | None) -> dict[str, float]:
    """Run one way on the small files, then time it on those of `folder`; may keep its answer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(THREADS)
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    way = WAYS[name]
    way(small)
    begun = time.perf_counter()
    table = way(folder)
    figures = {"seconds": time.perf_counter() - begun, "peak_rss_mb": _peak_mb()}
    if answer:
        pq.write_table(table if isinstance(table, pa.Table) else table.to_arrow(), answer)
    return figures


def _ours(folder: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from features import asof

    texts, columns = ["entity", "stage", "segment"], VALUES.split(", ")
    spine = pq.ParquetFile(folder / "spine.parquet", read_dictionary=texts[:1]).read()
    features = pq.ParquetFile(folder / "features.parquet", read_dictionary=texts).read()
    joined = asof.join(spine, features, columns)
    return joined.cast(
        pa.schema([f.with_type(pa.string()) if f.name in texts else f for f in joined.schema])
    )


def _duckdb(query: str) -> Callable[[Path], pa.Table]:
    def run(folder: Path) -> pa.Table:
        import duckdb

        paths = {name: folder / f"{name}.parquet" for name in ("spine", "features")}
        with duckdb.connect() as connection:
            connection.execute(f"set threads = {THREADS}; set TimeZone = 'UTC'")
            connection.execute("set preserve_insertion_order = false")
            return connection.execute(query.format(**paths)).to_arrow_table()

    return run


def _polars(folder: Path) -> Any:
    import polars as pl

    features = pl.scan_parquet(folder / "features.parquet").drop("known_at").sort("event_time")
    return _as_of(pl, folder, features, "event_time", allow_exact_matches=False)


def _polars_known(folder: Path) -> Any:
    import polars as pl

    enter = pl.max_horizontal(pl.col("event_time") + pl.duration(microseconds=1), "known_at")
    is_newest = pl.col("event_time") == pl.col("event_time").cum_max().over("entity")
    features = pl.scan_parquet(folder / "features.parquet").with_columns(enter=enter)
    changes = features.sort("enter", "event_time", "known_at").filter(is_newest)
    return _as_of(pl, folder, changes, "enter")


def _as_of(pl: Any, folder: Path, features: Any, moment: str, **options: Any) -> Any:
    spine = pl.scan_parquet(folder / "spine.parquet").sort("time")
    joined = spine.join_asof(
        features, left_on="time", right_on=moment, by="entity", check_sortedness=False, **options
    )
    return joined.select("row", "entity", "time", *VALUES.split(", ")).collect()


def _peak_mb() -> float:
    """Return the most memory that this process held at once."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)


WAYS: dict[str, Callable[[Path], Any]] = {
    "ours": _ours,
    "duckdb": _duckdb(PLAIN),
    "duckdb_known": _duckdb(KNOWN),
    "polars": _polars,
    "polars_known": _polars_known,
}
