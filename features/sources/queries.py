"""Rows of a SQL database, streamed through a cursor on the server where the driver has one."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from cluster.errors import WrongUse
from features.sources.lot import LOT_ROWS, Rows, Strip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from features.sources.mapping import Query


def columns(query: Query) -> list[str]:
    """Return the names of the columns of a query."""
    with _result(query, 1) as result:
        return list(result.keys())


def rows(query: Query, strip: Strip, most: int) -> Iterator[Rows]:
    """Yield the rows of a query, at most so many at once."""
    number = strip.first_row
    with _result(query, most) as result:
        names = list(result.keys())
        for part in result.partitions(most):
            cells = zip(*part, strict=True)
            arrays = [_array(list(column)) for column in cells]
            numbers = number + np.arange(len(part))
            number += len(part)
            yield Rows(table=pa.table(arrays, names=names), numbers=numbers, unreadable=[])


def digest(query: Query) -> str:
    """Return the SHA-256 of the statement and of all its rows."""
    found = hashlib.sha256(query.statement.encode())
    with _result(query, LOT_ROWS) as result:
        for part in result.partitions(LOT_ROWS):
            for row in part:
                found.update(repr(tuple(row)).encode())
    return found.hexdigest()


def _array(cells: list[Any]) -> pa.Array:
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a column of several types, as SQLite allows
        return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())


@contextmanager
def _result(query: Query, most: int) -> Iterator[sa.CursorResult[Any]]:
    url = os.environ.get(query.url_env)
    if not url:
        raise WrongUse(
            f"a query needs the URL of its database in the environment variable '{query.url_env}',"
            " got none: set it, for example to postgresql+psycopg://user@host/name"
        )
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            streamed = connection.execution_options(stream_results=True, yield_per=most)
            with streamed.execute(sa.text(query.statement)) as result:
                yield result
    except sa.exc.SQLAlchemyError as error:
        what = type(error).__name__  # the text may quote the URL and values
        raise WrongUse(
            f"a query must run on the database of '{query.url_env}', got {what}: try it there"
        ) from None
