"""A raw table, before any mapping: its file, its label column, and the search over the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pyarrow.types as pt

from cluster.errors import WrongUse, nearest
from jobs.train.leaks.searching import search

if TYPE_CHECKING:
    import numpy as np

    from jobs.train.leaks.finding import Finding

DATES = (pyarrow.csv.ISO8601, "%m/%d/%Y", "%m/%d/%Y %H:%M", "%d.%m.%Y")
TRUE = ("1", "true", "True", "TRUE", "yes", "Yes", "YES")
DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which column is the outcome, and what in it counts as positive and as negative."""

    label: str
    positive: tuple[str, ...] = TRUE
    negative: tuple[str, ...] = ()  # none: whatever is not positive; else other rows are left out
    time: str | None = None  # column with T of each row
    leave_out: tuple[str, ...] = ()  # columns nobody would train on


@dataclass(frozen=True, kw_only=True)
class Audited:
    """The findings, and on how many rows."""

    findings: tuple[Finding, ...]
    rows: int
    positives: int


def read(path: Path, empty: tuple[str, ...] = ()) -> pa.Table:
    """Return the table of a Parquet or CSV file; the words `empty` stand for no value."""
    if not path.is_file() or path.suffix not in {".csv", ".parquet"}:
        raise WrongUse(f"a table must be a file *.csv or *.parquet, got '{path}'")
    if path.suffix == ".parquet":
        return pq.read_table(path)
    options = pyarrow.csv.ConvertOptions(
        strings_can_be_null=True, null_values=["", *empty], timestamp_parsers=DATES
    )
    try:
        return pyarrow.csv.read_csv(path, convert_options=options)
    except pa.ArrowInvalid as error:
        raise WrongUse(f"'{path}' must be read: {' '.join(str(error).split())}") from error


def audit(table: pa.Table, asked: Question, rng: np.random.Generator) -> Audited:
    """Search the columns of a raw table for leaks; WrongUse for a column that is not there."""
    for name in (asked.label, asked.time, *asked.leave_out):
        if name is not None and name not in table.column_names:
            hint = nearest(name, table.column_names)
            raise WrongUse(f"the table must have a column '{name}', got none: {hint}")
    words = pc.cast(table[asked.label], pa.string())
    is_positive = pc.is_in(words, pa.array(asked.positive))
    judged = (
        pc.is_in(words, pa.array([*asked.positive, *asked.negative])) if asked.negative else None
    )
    if judged is not None:
        table, is_positive = table.filter(judged), is_positive.filter(judged)
    label = pc.cast(is_positive, pa.float64()).to_numpy()
    _require_both(asked, label)
    left = {asked.label, *asked.leave_out}
    features = [name for name in table.column_names if name not in left]
    times = None if asked.time is None else _times(table[asked.time], asked.time)
    found = search(table, label, features, rng=rng, times=times)
    return Audited(findings=found, rows=len(table), positives=int(label.sum()))


def _require_both(asked: Question, label: np.ndarray) -> None:
    if not 0 < label.sum() < len(label):
        raise WrongUse(
            f"'{asked.label}' must have positives and negatives, got {int(label.sum()):,} positive"
            f" of {len(label):,}: say --positive and --negative"
        )


def _times(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return T of each row; a date is over at the end of its day."""
    if not (pt.is_timestamp(column.type) or pt.is_date(column.type)):
        raise WrongUse(f"'{name}' must hold times, got {column.type}: name another column")
    moments = pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64())
    are_days = pc.all(pc.equal(pc.subtract(moments, pc.multiply(pc.divide(moments, DAY), DAY)), 0))
    later = DAY - 1 if are_days.as_py() else 0
    return pc.cast(pc.add(moments, later), pa.timestamp("us"))
