"""The repair file: rows of quarantine in the clear, written to be corrected, read when they are.

Each line is JSON: the row's place and its cells, one for each column that the mapping reads; null
is an empty one. A row that could not be read has its line as it was instead: {"line": text}.
"""

from __future__ import annotations

import functools
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.blobs import BlobMissing
from cluster.errors import WrongUse, nearest
from features.ingest import origin, quarantine
from features.sources import nested, read
from features.sources.mapping import SourceMapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from cluster.blobs import Blobs
    from cluster.workspace import Workspace

_MOST = 1 << 63  # what is below can be stored
NEEDED: dict[str, Callable[[Any], bool]] = {  # what a line must have -> is it that?
    "quarantine_id": lambda id: isinstance(id, str) and bool(re.fullmatch("[0-9a-f]{32}", id)),
    "source": lambda source: isinstance(source, str),
    "file": lambda file: isinstance(file, str),
    "part": lambda part: type(part) is int and 0 <= part < _MOST,
    "source_row": lambda row: type(row) is int and 0 <= row < _MOST,
    "cells": lambda cells: isinstance(cells, dict),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One corrected row."""

    quarantine_id: str
    source: str
    file: str
    part: int  # of the source's mapping
    source_row: int
    cells: Mapping[str, str | None]


def rows(workspace: Workspace, refused: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield quarantined rows (quarantine.SCHEMA columns) as the lines of a repair file."""
    columns = functools.cache(functools.partial(_columns, workspace.blobs))
    for row in quarantine.opened(workspace.vault, refused):
        if not quarantine.is_line(row["cells"]):
            empty = dict.fromkeys(columns(row["ingest"], row["part"]))
            row = {**row, "cells": empty | row["cells"]}
        yield row


def read_file(path: Path, mapping: SourceMapping) -> Iterator[Line]:
    """Yield the corrected rows of a file; WrongUse for what the mapping cannot read."""
    if not path.is_file():
        raise WrongUse(f"--repair must be a file, got '{path}': write one with jobs.quarantine")
    for number, text in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if text.strip():
            place = f"{path.name}, line {number}"
            line = _line(text, place)
            _require_place(line, place)
            _require_fit(line, mapping, place)
            _require_texts(line, place)
            yield line


def _columns(blobs: Blobs, ingest: str, part: int) -> list[str]:
    """Return the columns that a row was read with; none where that was no mapping of a source."""
    with suppress(BlobMissing, WrongUse):
        found = json.loads(blobs.get(origin.read(blobs, ingest).mapping))["mapping"]
        return read.columns_of(SourceMapping.model_validate(found), part)
    return []


def _line(text: str, place: str) -> Line:
    try:
        found: dict[str, Any] = json.loads(text)
        line = Line(**{name: found[name] for name in NEEDED})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WrongUse(
            f"a repaired row must be JSON with {', '.join(NEEDED)}, got none of that in {place}"
        ) from error
    return line


def _require_place(line: Line, place: str) -> None:
    for name, is_right in NEEDED.items():
        if not is_right(getattr(line, name)):
            raise WrongUse(
                f"'{name}' of a repaired row must be as jobs.quarantine wrote it, got another in"
                f" {place}: copy it from there"
            )


def _require_fit(line: Line, mapping: SourceMapping, place: str) -> None:
    """The row is of the source, of a part that it has, and has no column that nobody reads."""
    if line.source != mapping.source:
        raise WrongUse(
            f"a repaired row must be of the source that is given, got one of '{line.source}' for"
            f" '{mapping.source}' in {place}: repair each source by itself"
        )
    parts = len(mapping.files) or 1
    if line.part >= parts:
        raise WrongUse(
            f"'part' of a repaired row must be below {parts}, got {line.part} in {place}: copy it"
            " from what jobs.quarantine wrote"
        )
    known = set(read.columns_of(mapping, line.part))
    for name in sorted({name.removesuffix(nested.NESTED) for name in line.cells} - known):
        raise WrongUse(f"{place}: no column '{name}': {nearest(name, known)}")


def _require_texts(line: Line, place: str) -> None:
    for name, cell in line.cells.items():
        is_text = isinstance(cell, str) and not nested.is_halved(cell)
        if cell is not None and not is_text:
            what = nested.HALF if isinstance(cell, str) else nested.kind_of(cell)
            raise WrongUse(
                f"a cell of a repaired row must be a text or null, got {what} in '{name}' of"
                f" {place}: write it as a text"
            )
