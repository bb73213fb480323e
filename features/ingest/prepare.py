"""From a lot of mapped rows to events and refusals. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import canonical
from features import contracts, fingerprint, log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from features.contracts import Checked, Contract
    from features.sources.lot import Mapped, Unreadable

# a refused row before its raw cells are sealed
REFUSED = pa.schema(
    [
        pa.field("quarantine_id", pa.binary(16)),
        pa.field("source_row", pa.int64()),
        pa.field("kind", pa.string()),
        pa.field("name", pa.string()),
        pa.field("reasons", pa.string()),
        pa.field("subject", pa.string()),  # person of the row, else null
        pa.field("raw", pa.binary()),  # canonical JSON of the row's cells; a line's bytes as read
    ]
)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A lot after its contracts."""

    good: pa.Table  # log.SCHEMA columns
    refused: pa.Table  # REFUSED columns
    checked: Checked
    read: int  # events and unreadable rows


def prepare(
    terms: Mapping[str, Contract],
    mapped: Mapped,
    ingest: str,
    now: datetime | None,
    salt: str,
) -> Prepared:
    """Check a lot and name its rows; every row is in `good` or in `refused`.

    `salt` is secret: the id of a refusal tells nobody who guesses at its cells that the guess is
    right.
    """
    checked = contracts.check(terms, mapped.events, mapped.broken, now=now)
    unreadable = _unreadable(mapped.unreadable, ingest, salt)
    return Prepared(
        good=log.identified(checked.good, ingest),
        refused=pa.concat_tables(
            [_refused(terms, mapped, checked.bad, (ingest, salt)), unreadable]
        ),
        checked=checked,
        read=mapped.events.num_rows + len(mapped.unreadable),
    )


def _refused(
    terms: Mapping[str, Contract], mapped: Mapped, bad: pa.Table, origin: tuple[str, str]
) -> pa.Table:
    rows = bad["row"].to_numpy() if bad.num_rows else np.empty(0, np.int64)
    raw = mapped.raw.take(pa.array(mapped.origin[rows])).to_pylist()
    columns = {
        "source_row": bad["source_row"],
        "kind": _listed(bad["kind"], terms),
        "name": _listed(bad["name"], _names(terms)),
        "reasons": bad["reasons"],
        "subject": bad["person"],
        "raw": pa.array([_cells(row) for row in raw], pa.binary()),
    }
    key = pc.binary_join_element_wise(bad["source"], bad["row_key"], "\x1f")
    return _with_id(columns, origin, key)


def _unreadable(lines: list[Unreadable], ingest: str, salt: str) -> pa.Table:
    absent = pa.nulls(len(lines), pa.string())
    columns = {
        "source_row": pa.array([line.source_row for line in lines], pa.int64()),
        "kind": absent,
        "name": absent,
        "reasons": pa.array([line.reason for line in lines], pa.string()),
        "subject": absent,
        "raw": pa.array([line.raw for line in lines], pa.binary()),
    }
    return _with_id(columns, (ingest, salt), absent)


def _with_id(columns: dict[str, pa.Array], origin: tuple[str, str], key: pa.Array) -> pa.Table:
    """Name a refusal by the row's key, else its place, then reasons and cells: a replay adds none,
    another bad version of the row is one more.
    """
    ingest, salt = origin
    number = pc.fill_null(columns["source_row"].cast(pa.string()), "")
    place = [pc.coalesce(key, pc.binary_join_element_wise(ingest, number, "\x1f"))]
    said = [columns["kind"], columns["name"], columns["reasons"], columns["raw"]]
    secret = pa.repeat(salt, len(key))
    ids = log.packed(fingerprint.of_rows(place), fingerprint.of_rows([secret, *said]))
    return pa.table({"quarantine_id": ids, **columns}).cast(REFUSED)


def _listed(values: pa.ChunkedArray, valid: Mapping[str, object] | set[str]) -> pa.ChunkedArray:
    """Blank what is no word of ours: it could be anything, a name or an address."""
    is_ours = pc.is_in(values, value_set=pa.array(sorted(valid), pa.string()))
    return pc.if_else(is_ours, values, pa.scalar(None, pa.string()))


def _names(terms: Mapping[str, Contract]) -> set[str]:
    return {
        name
        for contract in terms.values()
        for promise in contract.properties
        if promise.name == "name"
        for name in promise.allowed
    }


def _cells(row: dict[str, object]) -> bytes:
    return canonical.dumps({name: value for name, value in row.items() if value is not None})
