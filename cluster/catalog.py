"""The Iceberg catalog in the SQL database, opened so that any number may be first at once."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    TableAlreadyExistsError,
)
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


def persistently[T](make: Callable[[], T]) -> T:
    """Make something that others may be making at the same moment; try again when overtaken."""
    for _ in range(TRIES - 1):
        try:
            return make()
        except OVERTAKEN:
            time.sleep(random.uniform(0.0, 0.1))
    return make()
