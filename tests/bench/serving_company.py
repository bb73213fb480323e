"""The company of the serving bench: leads with some 300 events each, until just before it is made;
other benches ask for more leads with fewer.

Each lead has an account, and so a shard, of its own. Some events are known late, some were
corrected. Pure: the same seed and moment make the same events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log

if TYPE_CHECKING:
    from datetime import datetime

LEADS, MEDIAN, SPREAD = 2_000, 300, 0.35  # events of a shard: median, and of their logarithm
SECOND, DAY = 1_000_000, 86_400_000_000
DAYS = 200  # of history
LATE, CORRECTED = 0.05, 0.01  # shares of all events
KINDS = {"touch": 0.73, "activity": 0.15, "usage": 0.12}
NAMES = {
    "touch": ("web_visit", "pricing_visit", "email_sent", "email_opened", "email_clicked",
              "email_replied", "content_download", "form_submitted", "ad_click"),
    "activity": ("call", "meeting", "email"),
    "usage": ("session",),
}  # fmt: skip
ATTRIBUTES = {
    "origin": ("search", "list", "event", "referral", "partner"),
    "landing_page": ("/", "/prices", "/demo", "/blog", "/docs"),
    "seniority": ("staff", "manager", "director", "executive"),
    "region": ("north", "south", "east", "west"),
    "industry": ("retail", "health", "finance", "public", "energy"),
}
FIRST = 2 + len(ATTRIBUTES)  # events of a lead that come first: created, attributes, employees
CAMPAIGNS = 40


def events(
    rng: np.random.Generator, now: datetime, *, leads: int = LEADS, median: int = MEDIAN
) -> pa.Table:
    """Return the events of all leads, known before `now`: columns of the log."""
    sizes = np.exp(rng.normal(np.log(median), SPREAD, leads)).round().astype(np.int64)
    sizes = np.clip(sizes, FIRST + 10, 4 * median)
    lead = np.repeat(np.arange(leads), sizes)
    number = np.arange(len(lead)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    end = round(now.timestamp()) * SECOND - DAY // 24
    began = end - (DAYS - rng.integers(0, DAYS // 2, leads)) * DAY
    share = np.where(number < FIRST, 0.0, rng.random(len(lead)))
    happened = began[lead] + (share * (end - began)[lead]).astype(np.int64) // SECOND * SECOND
    made = _columns(rng, lead, number) | {"event_time": happened}
    late = (rng.random(len(lead)) < LATE) * rng.integers(0, 5 * DAY, len(lead))
    known = np.minimum(happened + late, end)
    table = _candidates(made, known)
    return log.identified(pa.concat_tables([table, _corrections(rng, table, end)]))


def lead(number: int) -> str:
    """Return the id of a lead."""
    return f"lead-{number:05}"


def _columns(rng: np.random.Generator, lead: np.ndarray, number: np.ndarray) -> dict[str, Any]:
    """Return what each event is, as object arrays, from the lead and its place in the history."""
    kinds = rng.choice(list(KINDS), len(lead), p=list(KINDS.values())).astype(object)
    names = np.empty(len(lead), object)
    for kind, known in NAMES.items():
        names[kinds == kind] = rng.choice(known, int((kinds == kind).sum()))
    text = np.array([f"/page/{n}" for n in rng.integers(0, 200, len(lead))], object)
    value = rng.integers(0, 500, len(lead)).astype(object)
    kinds[number == 0], names[number == 0] = "lead", "created"
    for place, (name, known) in enumerate({**ATTRIBUTES, "employees": ("",)}.items(), start=1):
        here = number == place
        kinds[here], names[here] = "attribute", name
        text[here] = rng.choice(known, int(here.sum())) if any(known) else None
        value[here] = rng.integers(5, 5_000, int(here.sum())) if name == "employees" else None
    return {"lead": lead, "number_in": number, "kind": kinds, "name": names, "text": text,
            "number": value, "campaign": rng.integers(0, CAMPAIGNS, len(lead))}  # fmt: skip


def _candidates(made: dict[str, Any], known: np.ndarray) -> pa.Table:
    whose, kind = made["lead"], made["kind"]
    is_usage = kind == "usage"  # of the account, not of the lead
    columns: dict[str, Any] = {
        "row_key": [f"crm:{a}:{b}" for a, b in zip(whose, made["number_in"], strict=True)],
        "source": ["crm"] * len(whose),
        "source_row": made["number_in"],
        "kind": kind,
        "name": made["name"],
        "event_time": pa.array(made["event_time"]).cast(log.MICROSECONDS),
        "known_at": pa.array(known).cast(log.MICROSECONDS),
        "account": [f"account-{n:05}" for n in whose],
        "lead": [None if u else lead(n) for n, u in zip(whose, is_usage, strict=True)],
        "campaign": [
            f"campaign-{c}" if k == "touch" else None
            for c, k in zip(made["campaign"], kind, strict=True)
        ],
        "number": pa.array(made["number"], pa.int64()),
        "text": made["text"],
    }
    height = len(whose)
    rows = {
        f.name: pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(height, f.type)
        for f in log.CANDIDATE
    }
    return pa.table(rows)


def _corrections(rng: np.random.Generator, table: pa.Table, end: int) -> pa.Table:
    """Return later versions of some rows: another number, known an hour after."""
    chosen = (rng.random(table.num_rows) < CORRECTED) & np.asarray(
        pc.equal(table["kind"], "touch").to_numpy(zero_copy_only=False)
    )
    old = table.filter(pa.array(chosen))
    known = np.minimum(log.microseconds(old["known_at"]) + DAY // 24, end)
    changed = {
        "known_at": pa.array(known).cast(log.MICROSECONDS),
        "number": pa.array(rng.integers(0, 500, old.num_rows)),
    }
    for name, column in changed.items():
        old = old.set_column(old.column_names.index(name), table.field(name), column)
    return old
