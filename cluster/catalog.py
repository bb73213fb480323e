"""The Iceberg catalog in the SQL database, opened so that any number may be first at once."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    TableAlreadyExistsError,
)
from sqlalchemy import inspect, select
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from cluster.database import driver_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.database import Database

CATALOG, NAMESPACE = "funnelcast", "funnelcast"
TRIES = 8  # of what others do at the same moment
OVERTAKEN = (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    TableAlreadyExistsError,
    SQLAlchemyError,
)


def open_catalog(database_url: str, warehouse: str) -> SqlCatalog:
    """Open the catalog, making its tables and its namespace if they are not there."""

    def opened() -> SqlCatalog:
        catalog = SqlCatalog(CATALOG, uri=driver_url(database_url), warehouse=warehouse)
        catalog.create_namespace_if_not_exists(NAMESPACE)
        return catalog

    return persistently(opened)


def mark(database: Database, name: str) -> str | None:
    """Return what changes with every commit to a table, at the price of one question; None for no
    table. The catalog lies in this database.
    """
    there = select(IcebergTables.metadata_location).where(
        IcebergTables.catalog_name == CATALOG,
        IcebergTables.table_namespace == NAMESPACE,
        IcebergTables.table_name == name,
    )
    try:
        with database.connect() as connection:
            found: str | None = connection.scalar(there)
            return found
    except (OperationalError, ProgrammingError):
        with database.connect() as connection:
            if inspect(connection).has_table(IcebergTables.__tablename__):
                raise
        return None  # no table was ever made


def persistently[T](make: Callable[[], T]) -> T:
    """Make something that others may be making at the same moment; try again when overtaken."""
    for _ in range(TRIES - 1):
        try:
            return make()
        except OVERTAKEN:
            time.sleep(random.uniform(0.0, 0.1))
    return make()
