"""Rows of a SQL database, streamed through a cursor on the server where the driver has one.

A column keeps its type. One of several types is read as text; an object or a list is its JSON, and
said to be one beside it (see nested.py).
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from cluster.errors import WrongUse
from features.sources import nested
from features.sources.lot import LOT_ROWS, Rows, Strip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from features.sources.mapping import Query

STRING = pa.string()
SETS = (set, frozenset)  # have no order: MySQL's
LISTS = (list, tuple, *SETS)


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
            numbers = number + np.arange(len(part))
            number += len(part)
            table = _table(names, zip(*part, strict=True))
            yield Rows(table=table, numbers=numbers, unreadable=[])


def digest(query: Query) -> str:
    """Return the SHA-256 of the statement and of all its rows."""
    found = hashlib.sha256(query.statement.encode())
    with _result(query, LOT_ROWS) as result:
        for part in result.partitions(LOT_ROWS):
            for row in part:
                found.update(repr(tuple(row)).encode())
    return found.hexdigest()


def _table(names: list[str], columns: Iterable[Sequence[Any]]) -> pa.Table:
    found = [pair for each in zip(names, columns, strict=True) for pair in _arrays(*each)]
    return pa.table([array for _, array in found], names=[name for name, _ in found])


def _arrays(name: str, cells: Sequence[Any]) -> Iterator[tuple[str, pa.Array]]:
    """Yield a column, and behind it what its objects and lists are, where it has some."""
    typed = _typed(cells)
    is_plain = typed is not None and not pa.types.is_nested(typed.type)
    said = [] if is_plain else [_said(cell) for cell in cells]
    if typed is not None and not any(said):
        yield name, typed
        return
    yield name, pa.array([_text(cell) for cell in cells], STRING)
    if any(said):
        yield name + nested.NESTED, pa.array(said, STRING)


def _typed(cells: Sequence[Any]) -> pa.Array | None:
    """Return a column of one type; None where it has several, as SQLite and JSON allow."""
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
        return None


def _text(cell: Any) -> str | None:
    if isinstance(cell, dict):
        return nested.written(cell)
    if isinstance(cell, LISTS):
        return nested.written(sorted(cell, key=str) if isinstance(cell, SETS) else list(cell))
    return None if cell is None else str(cell)


def _said(cell: Any) -> str | None:
    if isinstance(cell, dict):
        return nested.OBJECT
    return nested.LIST if isinstance(cell, LISTS) else None


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
