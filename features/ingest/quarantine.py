"""Quarantine: the rows that broke a contract, with their reasons and the row as it was read.

Reasons, kind and name are in the clear and name nobody. The cells are sealed under the key of the
row's person, or under one of the row's own, so that erasing a person reaches its refused rows too.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster import canonical
from cluster.pseudonyms import PATTERN
from cluster.vault import Erased
from features import log
from features.ingest.prepare import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from cluster.tables import Tables
    from cluster.vault import Vault

TABLE = log.QUARANTINE
FIELD = "source_row"  # under which the vault seals the cells
NAMESPACE = "quarantined rows"  # of pseudonyms; no source can name one with a blank
LINE = "line"  # in the place of a cell: the text of a line that was no row
PLACE = ("ingest", "source", "file", "part", "source_row", "reasons")  # of a row that is opened
SCHEMA = pa.schema(
    [
        pa.field("quarantine_id", pa.binary(16), nullable=False),
        pa.field("ingest", pa.string(), nullable=False),  # see origin.py
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("part", pa.int32(), nullable=False),  # of the source's mapping
        *(REFUSED.field(name) for name in ("source_row", "kind", "name", "reasons")),
        pa.field("refused_at", log.MICROSECONDS, nullable=False),
        pa.field("subject", pa.string(), nullable=False),  # under whose key `sealed` is sealed
        pa.field("sealed", pa.binary()),
    ]
)


def create(tables: Tables) -> None:
    """Make the table."""
    tables.create(TABLE, SCHEMA)


def salt(vault: Vault) -> str:
    """Return a secret of the vault's, the same each time, for the ids of refusals."""
    made: str = vault.pseudonyms(NAMESPACE, pa.array(["salt"]))[0].as_py()
    return made


def sealed(
    vault: Vault, refused: pa.Table, origin: Mapping[str, str | int], now: datetime
) -> pa.Table:
    """Return refused rows (REFUSED columns) as they are kept (SCHEMA columns).

    `origin` says ingest, source, file and part of all of them.
    """
    if not refused.num_rows:
        return SCHEMA.empty_table()
    subjects = _subjects(vault, refused)
    asked = {"subject": subjects, "field": pa.repeat(FIELD, len(refused)), "data": refused["raw"]}
    columns = {name: refused[name] for name in REFUSED.names if name in SCHEMA.names}
    columns |= {
        name: pa.repeat(value, len(refused)) for name, value in {"part": 0, **origin}.items()
    }
    columns |= {"subject": subjects, "sealed": vault.seal_many(pa.table(asked), now)}
    columns["refused_at"] = pa.repeat(pa.scalar(now, log.MICROSECONDS), len(refused))
    return pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)


def opened(vault: Vault, rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the cells of quarantined rows (SCHEMA columns) in the clear, with their place.

    A line that was no row at all comes as {"line": text}. Rows of erased persons are left out.
    """
    for row in rows.filter(pc.is_valid(rows["sealed"])).to_pylist():
        with suppress(Erased):
            cells = _cells(vault.open(row["subject"], FIELD, row["sealed"]))
            place = {name: row[name] for name in PLACE}
            yield {"quarantine_id": row["quarantine_id"].hex(), **place, "cells": cells}


def is_line(cells: Mapping[str, str]) -> bool:
    """Are these not the cells of a row but a line that was none?"""
    return cells.keys() == {LINE}


def _cells(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
        is_row = _is_row(found, data)
    except (ValueError, RecursionError):
        is_row = False
    return found if is_row else {LINE: data.decode(errors="replace")}


def _is_row(found: Any, data: bytes) -> bool:
    """Are these the cells of a row as they are sealed? A line that was no row may be JSON too."""
    is_texts = isinstance(found, dict) and all(isinstance(cell, str) for cell in found.values())
    return is_texts and canonical.dumps(found) == data


def _subjects(vault: Vault, refused: pa.Table) -> pa.Array:
    """The person where it is a pseudonym of ours; else a subject of the row's own."""
    person = refused["subject"].combine_chunks()
    is_pseudonym = pc.fill_null(pc.match_substring_regex(person, f"^{PATTERN.pattern}$"), False)
    ids = pa.array([key.hex() for key in refused["quarantine_id"].to_pylist()])
    return pc.if_else(is_pseudonym, person, vault.pseudonyms(NAMESPACE, ids))
