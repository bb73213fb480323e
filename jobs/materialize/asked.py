"""A spine that is given: the entities and times of a Parquet or CSV file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from cluster.errors import WrongUse, nearest
from features.spine import ASKED

if TYPE_CHECKING:
    from collections.abc import Callable


def read(name: str, as_of: datetime) -> pa.Table:
    """Return the rows of a file, each once: ASKED columns; WrongUse for a file that has none, or a
    row that lies after `as_of`.
    """
    path = Path(name)
    reader = _READERS.get(path.suffix)
    if reader is None or not path.is_file():
        raise WrongUse(f"--spine must be a file *.parquet or *.csv, got '{name}'")
    try:
        found = reader(path)
    except pa.ArrowInvalid as error:
        raise WrongUse(f"'{name}' must be read: {' '.join(str(error).split())}") from error
    rows = pa.table([_column(found, name, column) for column in ASKED.names], ASKED)
    late = rows.filter(pc.greater(rows["time"], pa.scalar(as_of, rows["time"].type)))
    if late.num_rows:
        raise WrongUse(
            f"'{name}': no time must lie after what is known ({as_of.isoformat()}), got"
            f" {late['time'][0].as_py().isoformat()}: give a later --as-of"
        )
    return rows.group_by(ASKED.names).aggregate([]).cast(ASKED)


def _parquet(path: Path) -> pa.Table:
    return pq.read_table(path)


def _csv(path: Path) -> pa.Table:
    texts = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(ASKED.names, pa.string()), strings_can_be_null=True
    )
    return pyarrow.csv.read_csv(path, convert_options=texts)


def _column(found: pa.Table, name: str, column: str) -> pa.ChunkedArray:
    if column not in found.column_names:
        hint = nearest(column, found.column_names)
        raise WrongUse(f"'{name}' must have a column '{column}', got none: {hint}")
    values = found[column]
    if values.null_count:
        raise WrongUse(f"'{name}': every row must have its {column}, got {values.null_count} null")
    return values.cast(pa.string()) if column == "entity" else _times(values, name)


def _times(values: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if pa.types.is_timestamp(values.type) and values.type.tz is not None:
        return values.cast(ASKED.field("time").type, safe=False)  # earlier by less than 1 µs
    texts = values.cast(pa.string())
    times = [_time(text, name) for text in texts.to_pylist()]
    return pa.chunked_array([pa.array(times, ASKED.field("time").type)])


def _time(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise WrongUse(f"'{name}': a time must be ISO 8601 with its zone, got '{text}'")
    return moment


_READERS: dict[str, Callable[[Path], pa.Table]] = {".parquet": _parquet, ".csv": _csv}
