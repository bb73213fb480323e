"""The oracle of the feature bench: every column of a spine row by looking at each event.

Said as the language says it: of the versions of a row that are known at T the one that became known
last counts (then the one of the greater event id), if `T - window <= event_time < T`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench import features_data as data

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("event_id", "row_key", "account", "name", "event_time", "known_at", "number", "text")
NULL = np.iinfo(np.int64).min  # how a cell without a value is written in a matrix

type Event = dict[str, Any]


def sampled(home: Path, size: data.Size, count: int) -> np.ndarray:
    """Return the numbers of spine rows: half of them of the accounts that are hot in shape `skew`,
    half of the others.
    """
    rng = np.random.default_rng(3)
    spine = _table(data.together(data.pieces(home)).spine, ("row", "account"))
    numbers = np.array([int(account[1:]) for account in spine["account"].to_pylist()])
    rows = spine["row"].to_numpy()
    sides = [rows[numbers < size.hot], rows[numbers >= size.hot]]
    return np.concatenate([rng.choice(s, min(len(s), count // 2), replace=False) for s in sides])


def answers(home: Path, rows: np.ndarray, columns: list[str]) -> np.ndarray:
    """Return the columns of spine rows, given by their numbers: (rows, columns) int64."""
    whole = data.together(data.pieces(home))
    events = _table(whole.events, COLUMNS).combine_chunks()
    spine = _table(whole.spine, ("row", "account", "time")).sort_by("row")
    accounts = events["account"].combine_chunks().dictionary_encode()
    codes = accounts.indices.to_numpy()
    numbers = {account: code for code, account in enumerate(accounts.dictionary.to_pylist())}
    made = np.empty((len(rows), len(columns)), np.int64)
    for place, asked in enumerate(spine.take(pa.array(rows)).to_pylist()):
        own = np.flatnonzero(codes == numbers.get(asked["account"], -1))
        counted = _counted(events.take(pa.array(own)).to_pylist(), asked["time"])
        made[place] = [_value(counted, asked["time"], column) for column in columns]
    return made


def _table(files: list[str], columns: tuple[str, ...]) -> pa.Table:
    table = pa.concat_tables(pq.ParquetFile(path).read(columns=list(columns)) for path in files)
    for name in ("event_time", "known_at", "time"):
        if name in columns:
            moments = table[name].cast(pa.int64())
            table = table.set_column(table.column_names.index(name), name, moments)
    return table


def _counted(history: list[Event], at: int) -> list[Event]:
    """Return the version of each row that counts at a moment and happened before it."""
    latest: dict[str, Event] = {}
    for event in sorted(history, key=lambda e: (e["known_at"], e["event_id"])):
        if event["known_at"] <= at:
            latest[event["row_key"]] = event
    return [event for event in latest.values() if event["event_time"] < at]


def _value(counted: list[Event], at: int, column: str) -> int:
    name, word, days = column.rsplit("_", 2)
    since = at - int(days.removesuffix("d")) * 86_400_000_000
    inside = [e for e in counted if e["name"] == name and e["event_time"] >= since]
    numbers = [e["number"] for e in inside if e["number"] is not None]
    match word:
        case "count":
            return len(inside)
        case "sum":
            return sum(numbers)
        case "distinct":
            return len({e["text"] for e in inside if e["text"] is not None})
        case "min" | "max":
            return (min if word == "min" else max)(numbers, default=NULL)
        case _:
            return _last(inside)


def _last(inside: list[Event]) -> int:
    order = ("event_time", "known_at", "event_id")
    last = max(inside, key=lambda e: tuple(e[name] for name in order), default={})
    number = last.get("number")
    return NULL if number is None else number
