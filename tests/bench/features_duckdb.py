"""DuckDB as a peer of the feature bench: what its formulations share.

Events are read with the moment they enter force and the moment a later version replaces them; only
rows whose key has an equal hash elsewhere are sorted for that. A formulation is a list of
statements, of which the last gives the result; it works on the whole log or bucket by bucket in two
threads.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from tests.bench import features_data as data

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    type Formulation = Callable[[], list[str]]

THREADS = 2
MEMORY = "8GB"
NEVER = 2**62
INSIDE = "enter <= time and time < replaced"
OPENED = """
create temp table raw as
  select account, {name} as name, epoch_us(event_time) as event, epoch_us(known_at) as known,
    event_id, hash(row_key) as hashed, number{text}
  from read_parquet({events}) where kind = '{kind}';
create temp table several as select hashed from raw group by hashed having count(*) > 1;
create temp table changed as
  select id, replaced from (
    select rowid as id,
      lead(known) over (partition by event_id[1:8] order by known, event_id) as replaced
    from raw semi join several using (hashed))
  where replaced is not null;
create temp view events as
  select raw.* exclude (hashed), greatest(event + 1, known) as enter,
    coalesce(replaced, {never}) as replaced
  from raw left join changed on raw.rowid = changed.id;
create temp table spine as
  select row, account, epoch_us(time) as time from read_parquet({spine});
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A formulation of each part that is asked for, and how the log is cut."""

    formulations: dict[str, Formulation]  # by part
    by_bucket: bool


def run(home: Path, plan: Plan) -> tuple[float, pa.Table]:
    """Compute the parts of `plan`; returns the seconds it took and a table of row and columns."""
    parts = data.pieces(home)
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {THREADS}; set memory_limit = '{MEMORY}'")
        connection.execute("set preserve_insertion_order = false")
        begun = time.perf_counter()
        if plan.by_bucket:
            with ThreadPoolExecutor(THREADS) as pool:
                made = pa.concat_tables(pool.map(lambda p: _piece(connection, plan, p), parts))
        else:
            made = _piece(connection, plan, data.together(parts))
        return time.perf_counter() - begun, made


def _piece(connection: duckdb.DuckDBPyConnection, plan: Plan, piece: data.Piece) -> pa.Table:
    with connection.cursor() as cursor:  # with temporary tables of its own
        cursor.execute(_opened(piece, with_text="others" in plan.formulations))
        results = []
        for formulation in plan.formulations.values():
            *statements, result = formulation()
            for statement in statements:
                cursor.execute(statement)
            results.append(f"({result})")
        joined = results[0] + "".join(f" join {result} using (row)" for result in results[1:])
        return cursor.execute(f"from {joined}").to_arrow_table()


def _opened(piece: data.Piece, *, with_text: bool) -> str:
    return OPENED.format(
        name=f"case name {' '.join(f"when '{n}' then {i}" for i, n in enumerate(data.NAMES))} end",
        text=", text" if with_text else "",
        events=piece.events,
        spine=piece.spine,
        kind=data.KIND,
        never=NEVER,
    )


def pivoted(cells: str, names: dict[int, str], columns: dict[str, str]) -> str:
    """Return a query for a row per spine row from rows per `row` and `name` in table `cells`.

    `columns` are those of a name, each with what stands there when there are no events.
    """
    wanted = ", ".join(
        f"coalesce({name}.{column}, {none})::bigint as {name}_{column}"
        for name in names.values()
        for column, none in columns.items()
    )
    joins = " ".join(
        f"left join (select * from {cells} where name = {number}) as {name} using (row)"
        for number, name in names.items()
    )
    return f"select row, {wanted} from spine {joins}"
