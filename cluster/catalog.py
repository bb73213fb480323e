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
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from cluster.database import driver_url

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE = "funnelcast"
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
        catalog = SqlCatalog("funnelcast", uri=driver_url(database_url), warehouse=warehouse)
        catalog.create_namespace_if_not_exists(NAMESPACE)
        return catalog

    return persistently(opened)


def current_metadata(catalog: SqlCatalog, name: str) -> str | None:
    """Return where the newest metadata of a table lie, without reading them; None for no table."""
    there = select(IcebergTables.metadata_location).where(
        IcebergTables.catalog_name == catalog.name,
        IcebergTables.table_namespace == NAMESPACE,
        IcebergTables.table_name == name,
    )
    with catalog.engine.connect() as connection:
        found: str | None = connection.scalar(there)
        return found


def persistently[T](make: Callable[[], T]) -> T:
    """Make something that others may be making at the same moment; try again when overtaken."""
    for _ in range(TRIES - 1):
        try:
            return make()
        except OVERTAKEN:
            time.sleep(random.uniform(0.0, 0.1))
    return make()
