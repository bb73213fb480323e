"""The courses of all units of a funnel, as a snapshot of the log tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features import log
from serving.forecast import units

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.tables import Tables
    from serving.forecast.funnels import Funnel
    from serving.forecast.units import Course

MOST_EVENTS = 1_000_000  # to be read beside decisions; more are for a job


def read(tables: Tables, funnel: Funnel, snapshot: int, as_of: datetime) -> Course:
    """Return them as known at a time; FunnelcastError where the log tells none."""
    return units.read(tables.read(log.TABLE, snapshot, columns=units.COLUMNS), funnel, as_of)


def are_many(tables: Tables, snapshot: int) -> bool:
    """Does the log hold too many events to be read beside decisions?"""
    return sum(bucket.rows for bucket in tables.buckets(log.TABLE, snapshot)) > MOST_EVENTS
