"""The tables in which a file looks values up, read whole: they are small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cluster.errors import WrongUse
from features.sources import files, formats
from features.sources.cells import present
from features.sources.lot import LOT_ROWS, Strip, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from features.sources.cells import Table
    from features.sources.mapping import FileMapping, Lookup


def lookups(file: FileMapping, folder: Path) -> dict[str, Table]:
    """Return for every looked-up name the columns of its table; "" is the key, distinct."""
    found: dict[str, Table] = {}
    for lookup in file.lookups:
        found |= dict.fromkeys(lookup.taken, _table(file, lookup, folder))
    return found


def as_file(file: FileMapping, lookup: Lookup) -> FileMapping:
    """Return the mapping of the table itself: written like the file, but without its events."""
    there: dict[str, object] = {"file": lookup.file, "query": None, "format": None, "events": ()}
    there["row_key"] = (lookup.key, *lookup.taken.values())
    bare: dict[str, object] = {"each": None, "order": None, "people": (), "opaque": ()}
    return file.model_copy(update={**there, **bare, "lookups": (), "replace": {}})


def _table(file: FileMapping, lookup: Lookup, folder: Path) -> Table:
    there = as_file(file, lookup)
    parts = [
        rows
        for name in files.found(folder, lookup.file)
        for rows in formats.rows(there, folder, Strip(file=name, part=0), LOT_ROWS)
    ]
    if any(rows.unreadable for rows in parts):
        raise WrongUse(f"a lookup must be readable, got a broken row in '{lookup.file}': repair it")
    whole = pa.concat_tables([rows.table for rows in parts])
    names = {"": lookup.key, **lookup.taken}
    columns = {ours: _present(whole, name, file) for ours, name in names.items()}
    keys = columns[""].dictionary_encode()
    places = keys.indices.fill_null(-1).to_numpy()
    _, first, inverse = np.unique(places, return_index=True, return_inverse=True)
    kept = {name: column.take(pa.array(first)) for name, column in columns.items()}
    for name, column in kept.items():
        again = column.take(pa.array(inverse))
        if (places >= 0).any() and not again.filter(keys.is_valid()).equals(
            columns[name].filter(keys.is_valid())
        ):
            raise WrongUse(
                f"a key of a lookup must mean one thing, got two values of '{names[name]}' for one "
                f"'{lookup.key}' in '{lookup.file}': remove one"
            )
    return kept


def _present(whole: pa.Table, name: str, file: FileMapping) -> pa.Array:
    column = whole[name].combine_chunks()
    return present(text_of(column), file.empty)
