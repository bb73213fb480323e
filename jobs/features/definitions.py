"""The text of a feature repository of Feast: its configuration, and definitions in Python. Pure.

It is written for Feast 0.67: an entity per kind, a file source per table, a feature view per view
and table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from cluster.errors import WrongUse
from jobs.features.sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from features.views import View
    from jobs.features.snapshots import Held

MADE = "# Written by `python -m jobs.features export`; do not edit: it is written anew."
EVENT, CREATED = "event_timestamp", "created_timestamp"
TYPES = {pa.int64(): "Int64", pa.float64(): "Float64", pa.string(): "String"}
STORE = f"""{MADE}
project: funnelcast
provider: local
registry: data/registry.db
online_store:
  type: sqlite
  path: data/online_store.db
offline_store:
  type: dask
entity_key_serialization_version: 3
"""
_HEAD = f'''{MADE}
"""Features of Funnelcast, as Feast reads them.

A row is an entity as it was known at `{EVENT}`: only facts that had happened before
that moment and were known at it were used, whenever the row was computed. So `{CREATED}`
is the same moment.
"""

from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

DATA = Path(__file__).resolve().parent / "data"
'''


def module(chosen: Sequence[tuple[View, Held]]) -> str:
    """Return the definitions of views over tables."""
    for view, _ in chosen:
        if taken := {view.entity, EVENT, CREATED} & set(view.columns):
            raise WrongUse(
                f"a feature of '{view.name}' must not be called as a key, got {sorted(taken)}:"
                " rename it"
            )
    entities = sorted({view.entity for view, _ in chosen})
    tables = dict.fromkeys(held.table for _, held in chosen)
    parts = [_HEAD, *map(_entity, entities), *map(_source, tables)]
    parts += [_view(view, held) for view, held in chosen]
    return "\n".join(parts)


def name_of(view: View, held: Held) -> str:
    """Return the name of the feature view of a view over a table."""
    return f"{view.name}__{held.table}"


def _entity(entity: str) -> str:
    return _call(
        entity,
        "Entity",
        [f"name={entity!r}", f"join_keys=[{entity!r}]", "value_type=ValueType.STRING"],
    )


def _source(table: str) -> str:
    return _call(
        f"{table}_rows",
        "FileSource",
        [
            f"name={table!r}",
            f"path=str(DATA / {table + '.parquet'!r})",
            f"timestamp_field={EVENT!r}",
            f"created_timestamp_column={CREATED!r}",
        ],
    )


def _view(view: View, held: Held) -> str:
    tags = {
        "owner": view.owner,
        "description": view.description,
        "privacy": view.privacy,
        "version": view.version,
        "table": held.table,
        "snapshot": str(held.snapshot),
        "as_of": held.as_of.isoformat(),
    }
    fields = [
        f"Field(name={f.name!r}, dtype={_type(f.type)}, description={sentence(f, view.entity)!r}),"
        for f in view.features
    ]
    return _call(
        name_of(view, held),
        "FeatureView",
        [
            f"name={name_of(view, held)!r}",
            f"entities=[{view.entity}]",
            "ttl=timedelta(0)",
            _lines("schema=[", fields, "]"),
            f"source={held.table}_rows",
            f"description={view.description!r}",
            f"owner={view.owner!r}",
            _lines("tags={", [f"{key!r}: {value!r}," for key, value in tags.items()], "}"),
        ],
    )


def _type(kind: pa.DataType) -> str:
    if kind not in TYPES:
        raise WrongUse(f"Feast must know the type of a feature, got {kind}: export another view")
    return TYPES[kind]


def _call(name: str, made: str, arguments: Iterable[str]) -> str:
    return _lines(f"{name} = {made}(", [f"{argument}," for argument in arguments], ")") + "\n"


def _lines(first: str, inner: Iterable[str], last: str) -> str:
    """Return lines, the inner ones indented."""
    indented = [f"    {line}" for each in inner for line in each.splitlines()]
    return "\n".join([first, *indented, last])
