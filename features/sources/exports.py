"""Read CSV exports through a mapping into candidate events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from cluster import canonical
from cluster.errors import WrongUse, nearest
from features import log

if TYPE_CHECKING:
    from pathlib import Path

    from features.sources.mapping import EventMapping, FileMapping, Moment, SourceMapping


def read(mapping: SourceMapping, folder: Path) -> pa.Table:
    """Return the candidate events (CANDIDATE columns) of every file of a source."""
    frames = [(file, _frame(file, folder)) for file in mapping.files]
    parts = [_events(mapping, f, e, frame) for f, frame in frames for e in f.events]
    return pa.concat_tables([log.CANDIDATE.empty_table(), *parts])


def fingerprint(mapping: SourceMapping, folder: Path) -> str:
    """Return a hash over the files a source reads, lookups included."""
    names = {f.file for f in mapping.files} | {k.file for f in mapping.files for k in f.lookups}
    return canonical.digest(
        {name: canonical.sha256_hex(_there(folder, name).read_bytes()) for name in sorted(names)}
    )


def _there(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        others = [p.name for p in folder.glob("*")] if folder.is_dir() else []
        raise WrongUse(f"a mapped file must exist, got '{path}': {nearest(name, others)}")
    return path


def _table(folder: Path, name: str) -> pd.DataFrame:
    frame = pd.read_csv(_there(folder, name), dtype=str, encoding="utf-8-sig")
    return frame.apply(lambda column: column.str.strip())


def _frame(file: FileMapping, folder: Path) -> pd.DataFrame:
    frame = _table(folder, file.file).replace(file.replace)
    frame["source_row"] = range(2, len(frame) + 2)  # line in the file, below the header
    for lookup in file.lookups:
        taken = _table(folder, lookup.file)[[lookup.key, *lookup.take]].drop_duplicates(lookup.key)
        frame = frame.merge(taken, on=lookup.key, how="left", validate="many_to_one")
    needed = {file.row_key} | {c for event in file.events for c in event.columns}
    for column in sorted(needed - set(frame.columns)):
        raise WrongUse(f"{file.file}: no column '{column}': {nearest(column, frame.columns)}")
    return frame


def _events(
    source: SourceMapping, file: FileMapping, event: EventMapping, frame: pd.DataFrame
) -> pa.Table:
    rows = frame[_wanted(event, frame)]
    slot = f"{source.source}:{file.file}:{event.kind}.{event.name}:"
    columns: dict[str, pd.Series | str | None] = {
        "row_key": slot + rows[file.row_key],
        "source": source.source,
        "source_row": rows["source_row"],
        "kind": event.kind,
        "name": event.name,
        "event_time": _moment(event.event_time, rows),
        "known_at": _moment(event.known_at, rows),
        **{key: rows[column] for key, column in event.keys.items()},
        "number": _number(event, rows),
        "text": rows[event.text] if event.text else None,
    }
    return pa.table({f.name: _array(columns.get(f.name), f, len(rows)) for f in log.CANDIDATE})


def _wanted(event: EventMapping, frame: pd.DataFrame) -> pd.Series:
    wanted = pd.Series(True, index=frame.index)
    for column, values in event.where.items():
        wanted &= frame[column].isin(values) if values else frame[column].notna()
    return wanted


def _moment(moment: Moment, rows: pd.DataFrame) -> pd.Series:
    texts = pd.Series(moment.fixed, index=rows.index) if moment.fixed else rows[moment.column]
    times = pd.to_datetime(texts, format=moment.format, utc=True, errors="coerce")
    return times.astype("datetime64[us, UTC]") + pd.Timedelta(hours=moment.plus_hours)


def _number(event: EventMapping, rows: pd.DataFrame) -> pd.Series | None:
    if event.number is None:
        return None
    values = pd.to_numeric(rows[event.number.column], errors="coerce") * event.number.times
    return values.round().astype("Int64")


def _array(values: pd.Series | str | None, field: pa.Field, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, field.type)
    if isinstance(values, str):
        return pa.array([values] * rows, field.type)
    return pa.array(values, from_pandas=True).cast(field.type)
