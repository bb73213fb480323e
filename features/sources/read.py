"""The face of the sources: what there is to read, and one lot after another as candidate events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from features import log
from features.sources import files, formats, queries, synthetic, vetting
from features.sources.cells import Cells
from features.sources.lookups import as_file, lookups
from features.sources.lot import LOT_ROWS, Mapped, Rows, Strip, as_text
from features.sources.mapped import mapped
from features.sources.phrases import SOURCE_ROW

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from features.contracts import Contract
    from features.sources.lot import Pseudonyms
    from features.sources.mapping import SourceMapping


def strips(
    mapping: SourceMapping,
    folder: Path,
    size_bytes: int,
    terms: Mapping[str, Contract] | None = None,
) -> list[Strip]:
    """Return the stretches of a source, in a stable order and of about `size_bytes` each.

    Every mistake of the mapping that can be seen without reading a row is WrongUse here: a missing
    file or column, an event that no contract knows (of `terms`, by default configs/contracts), a
    person in the clear.
    """
    vetting.vet(mapping, terms)
    if mapping.world is not None:
        return synthetic.strips(mapping.world)
    parts = range(len(mapping.files))
    return [strip for part in parts for strip in _of(mapping, part, folder, size_bytes)]


def lots(
    mapping: SourceMapping,
    strip: Strip,
    folder: Path,
    pseudonyms: Pseudonyms,
    rows: int = LOT_ROWS,
) -> Iterator[Mapped]:
    """Yield the candidate events of a strip, from at most so many rows at once, from fewer where a
    row has several events.
    """
    if mapping.world is not None:
        yield from synthetic.lots(mapping.world, strip, pseudonyms, rows)
        return
    file = mapping.files[strip.part]
    tables = lookups(file, folder)
    for found in formats.rows(file, folder, strip, max(rows // len(file.events), 1)):
        cells = Cells(file=file, rows=found, lookups=tables, pseudonyms=pseudonyms)
        yield mapped(mapping.source, cells)


def columns_of(mapping: SourceMapping, part: int) -> list[str]:
    """Return the names of the columns that the rows of a part have, however it is written."""
    if mapping.world is not None:
        return [name for name in log.CANDIDATE.names if name != SOURCE_ROW]
    return sorted(mapping.files[part].read_columns - {SOURCE_ROW})


def repaired(
    mapping: SourceMapping,
    part: int,
    table: pa.Table,
    folder: Path,
    pseudonyms: Pseudonyms,
) -> Mapped:
    """Map corrected rows: the string columns of `Mapped.raw`, and `source_row` (a whole number).
    A column that is not there is empty.
    """
    if mapping.world is not None:
        return synthetic.repaired(table, pseudonyms)
    file = mapping.files[part]
    numbers = table["source_row"].cast(pa.int64()).to_numpy()
    rows = Rows(table=as_text(table.drop_columns("source_row")), numbers=numbers, unreadable=[])
    cells = Cells(file=file, rows=rows, lookups=lookups(file, folder), pseudonyms=pseudonyms)
    return mapped(mapping.source, cells)


def rows_of(mapping: SourceMapping, strip: Strip, folder: Path) -> int:
    """Return about how many rows a strip has: exactly for Parquet, by bytes for text."""
    if mapping.world is not None:
        return synthetic.ROWS_PER_PART
    return formats.rows_of(mapping.files[strip.part], folder, strip)


def bytes_of(mapping: SourceMapping, folder: Path) -> int:
    """Return the size of the files whose rows are read, as they lie there; 0 without files."""
    names = {name for f in mapping.files if f.file for name in files.found(folder, f.file)}
    return sum((folder / name.partition("!")[0]).stat().st_size for name in names)


def fingerprint(mapping: SourceMapping, folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that a source reads, lookups included, and of the rows of
    every query. An archive is one file.
    """
    names = {f.file for f in mapping.files if f.file}
    names |= {k.file for f in mapping.files for k in f.lookups}
    several = {name for pattern in names for name in files.found(folder, pattern)}
    outer = sorted({name.partition("!")[0] for name in several})
    queried = {f"query:{part}": f.query for part, f in enumerate(mapping.files) if f.query}
    digests = {name: queries.digest(query) for name, query in queried.items()}
    return digests | {name: files.sha256(folder, name) for name in outer}


def _of(mapping: SourceMapping, part: int, folder: Path, size_bytes: int) -> Iterator[Strip]:
    file = mapping.files[part]
    for lookup in file.lookups:
        there = as_file(file, lookup)
        for name in files.found(folder, lookup.file):
            vetting.require(there, formats.columns(there, folder, name), name)
    for name in formats.names(file, folder, part):
        vetting.require(file, formats.columns(file, folder, name), name)
        yield from formats.strips(file, folder, Strip(file=name, part=part), size_bytes)
