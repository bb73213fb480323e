"""Words that arrived and are not in the log yet: in SQL, numbered as they were taken in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import canonical, schema
from features.consent import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from cluster.database import Database
    from features.consent.words import Word

_TABLE = schema.consents


def add(connection: sa.Connection, events: pa.Table) -> None:
    """Note the words among events (SCHEMA columns) in the transaction that takes these in."""
    for word in words.of_events(events):
        text = canonical.dumps(words.said(word)).decode()
        connection.execute(_TABLE.insert().values(event_id=word.id, said=text))


def since(database: Database, number: int) -> tuple[list[Word], int]:
    """Return the words behind a number, and the number of the last."""
    asked = sa.select(_TABLE.c.number, _TABLE.c.said).where(_TABLE.c.number > number)
    with database.connect() as connection:
        rows = connection.execute(asked.order_by(_TABLE.c.number)).all()
    return [words.read(json.loads(row.said)) for row in rows], rows[-1].number if rows else number


def drop(connection: sa.Connection, ids: Iterable[str]) -> None:
    """Take words off that are in the log, or are to be forgotten: ids of their events."""
    given = [{"an_id": id} for id in ids]
    if given:
        connection.execute(_TABLE.delete().where(_TABLE.c.event_id == sa.bindparam("an_id")), given)
