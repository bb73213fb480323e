"""Exports: the same company as the files that real tools would hand over, and the truth beside it.

The CRM exports its objects as CSV, with names and addresses in the clear and each object as it is
known in the end; the website and the mail tool stream JSON lines; the product writes Parquet.
Broken rows are left out, because they are broken as events and not as files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from features.sources.world import crm_objects, identity
from features.sources.world.division import parts
from features.sources.world.generate import told_part
from features.sources.world.truth import SHARED
from features.sources.world.writers import Files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from features.sources.world.config import WorldConfig

EXPORTS, TRUTH = "exports", "truth"  # folders
RECIPIENT = "recipient"  # column with the address to which a mail went


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A file with one row per event."""

    kind: str
    columns: Mapping[str, str]  # column of the file -> column of the event
    names: tuple[str, ...] = ()  # events of these names, or all

    def rows(self, events: pa.Table) -> pa.Table:
        """Return the file's rows of the events."""
        wanted = pc.equal(events["kind"], self.kind)
        if self.names:
            wanted = pc.and_(wanted, pc.is_in(events["name"], pa.array(self.names)))
        found = events.filter(wanted)
        return pa.table({name: found[column] for name, column in self.columns.items()})


_MAILS = ("email_sent", "email_opened", "email_clicked", "email_replied")
_VISITS = (
    *("web_visit", "pricing_visit", "content_download", "form_submitted", "ad_click"),
    *("webinar_registered", "webinar_attended", "social_click"),
)
_HAPPENED = {"occurred_at": "event_time", "recorded_at": "known_at"}
_TOUCHED = {"lead_id": "lead", "contact_id": "person", "campaign_id": "campaign"}
STREAMS = {
    "mail/events.jsonl": Stream(
        kind="touch",
        names=_MAILS,
        columns={
            "id": "row_key",
            "type": "name",
            **_HAPPENED,
            **_TOUCHED,
            RECIPIENT: RECIPIENT,
            "seconds_to_reply": "number",
        },
    ),
    "web/events.jsonl": Stream(
        kind="touch",
        names=_VISITS,
        columns={"id": "row_key", "event": "name", **_HAPPENED, **_TOUCHED, "seconds": "number"},
    ),
    "product/sessions.parquet": Stream(
        kind="usage",
        columns={
            "session_id": "row_key",
            "account_id": "account",
            "started_at": "event_time",
            "recorded_at": "known_at",
            "active_seconds": "number",
        },
    ),
    "support/tickets.csv": Stream(
        kind="support",
        columns={
            "event_id": "row_key",
            "event": "name",
            "account_id": "account",
            **_HAPPENED,
            "value": "number",
            "subject": "text",
        },
    ),
    "vendor/intent.csv": Stream(
        kind="intent",
        columns={
            "signal_id": "row_key",
            "signal": "name",
            "account_id": "account",
            **_HAPPENED,
            "strength_ppm": "number",
            "topic": "text",
        },
    ),
    "ads/metrics.csv": Stream(
        kind="metric",
        columns={
            "metric_id": "row_key",
            "metric": "name",
            "campaign_id": "campaign",
            "week_end": "event_time",
            "reported_at": "known_at",
            "value": "number",
        },
    ),
    "consent/log.csv": Stream(
        kind="consent",
        columns={
            "entry_id": "row_key",
            "action": "name",
            "purpose": "text",
            "contact_id": "person",
            "account_id": "account",
            **_HAPPENED,
        },
    ),
    "crm/tasks.csv": Stream(
        kind="activity",
        columns={
            "Id": "row_key",
            "Type": "name",
            "LeadId": "lead",
            "OpportunityId": "opportunity",
            "AccountId": "account",
            "OwnerId": "rep",
            "CompletedDate": "event_time",
            "CreatedDate": "known_at",
            "DurationSeconds": "number",
        },
    ),
    "crm/appointments.csv": Stream(
        kind="calendar",
        columns={
            "Id": "row_key",
            "Status": "name",
            "LeadId": "lead",
            "OpportunityId": "opportunity",
            "AccountId": "account",
            "OwnerId": "rep",
            "StartDate": "event_time",
            "StatusDate": "known_at",
            "DurationSeconds": "number",
        },
    ),
    "crm/objections.csv": Stream(
        kind="objection",
        columns={
            "Id": "row_key",
            "About": "name",
            "LeadId": "lead",
            "OpportunityId": "opportunity",
            "AccountId": "account",
            "OwnerId": "rep",
            "SaidDate": "event_time",
            "CreatedDate": "known_at",
        },
    ),
}


def write_exports(config: WorldConfig, folder: Path) -> None:
    """Write the files of the company to `folder`/exports and the truth to `folder`/truth.

    Part by part, so that memory does not grow with the size; files that are there are replaced.
    """
    with Files(folder / EXPORTS) as files, Files(folder / TRUTH) as truths:
        for part in range(parts(config)):
            made = told_part(config, part)
            is_fault = pc.is_in(made.events["row_key"], pa.array(made.truth["faults"]["row_key"]))
            events = made.events.filter(pc.invert(is_fault))
            events = _with_recipients(events, made.people)
            for name, stream in STREAMS.items():
                if rows := _some(stream.rows(events)):
                    files.append(name, rows)
            for name, rows in crm_objects.objects(events, made.people).items():
                files.append(f"crm/{name}.csv", rows)
            for name, frame in made.truth.items():
                if part == 0 or name not in SHARED:
                    truths.append(f"{name}.parquet", _planted(frame))


def _planted(frame: pd.DataFrame) -> pa.Table:
    """Return a table of the truth with the same types whatever a part holds."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    plain = [f.with_type(pa.string()) if _is_text(f.type) else f for f in table.schema]
    return table.cast(pa.schema(plain))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _with_recipients(events: pa.Table, people: pa.Table) -> pa.Table:
    addresses = people.filter(pc.equal(people["field"], identity.EMAIL))
    place = pc.index_in(events["person"], value_set=addresses["subject"])
    return events.append_column(RECIPIENT, addresses["value"].take(place))


def _some(rows: pa.Table) -> pa.Table | None:
    return rows if rows.num_rows else None
