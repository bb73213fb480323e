"""The shape of a table: its columns, changed in place; snapshots made before keep theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pyiceberg.table import Table


def fit(table: Table, schema: pa.Schema) -> None:
    """Give a table the columns of `schema`: others go, and one of another type is a new column
    under the old name.
    """
    has = {field.name: _plain(field.type) for field in table.schema().as_arrow()}
    wants = {field.name: _plain(field.type) for field in schema}
    if has == wants:
        return
    with table.transaction() as transaction:
        with transaction.update_schema(allow_incompatible_changes=True) as update:
            for name in has.keys() - {n for n, kind in wants.items() if has.get(n) == kind}:
                update.delete_column(name)
        with transaction.update_schema() as update:
            update.union_by_name(schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) else kind
