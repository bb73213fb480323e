"""The keys on record, as a table and in words. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from cluster.access.records import Status
from jobs.console import Report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cluster.access.records import KeyRecord

ALL = "all"


def report(records: Sequence[KeyRecord], now: datetime) -> Report:
    """Return what there is to say of keys at `now`; the figures hold everything on record."""
    counted = Counter(record.status(now) for record in records)
    told = [f"{counted[status]} {status}" for status in Status if counted[status]]
    documents = [r.document() | {"status": r.status(now).value} for r in records]
    return Report(
        read={"keys": len(records)},
        wrote={},
        decided=[", ".join(told) or "no key was issued: python -m jobs.access issue"],
        figures={"keys": documents},
        table=pd.DataFrame([_row(r, now) for r in records]) if records else None,
    )


def rows_seen(record: KeyRecord) -> str:
    """Return in words which rows a key sees."""
    limits = (("regions", record.regions), ("teams", record.teams))
    return " and ".join(f"{_names(names)} {what}" for what, names in limits)


def minute(at: datetime) -> str:
    """Return a time as it stands in a table."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _row(record: KeyRecord, now: datetime) -> dict[str, str]:
    return {
        "id": record.id,
        "name": record.name,
        "roles": ", ".join(record.roles),
        "scopes": _names(record.scopes),
        "regions": _names(record.regions),
        "teams": _names(record.teams),
        "status": record.status(now).value,
        "expires": minute(record.expires_at),
        "rotated to": record.rotated_to or "",
    }


def _names(names: tuple[str, ...] | None) -> str:
    return ALL if names is None else ", ".join(names)
