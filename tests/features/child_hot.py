"""Child of the drill of slices: HOME fill EVENTS puts one account of so many events into a log, and
HOME rows LIMIT computes its feature rows, at most LIMIT events at once.

Prints a line of JSON: rows, what they say, the peak of the process in MiB, and the seconds.
"""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cluster.settings import Settings
from cluster.workspace import Workspace
from features import content, log, step
from features.plan import Plan
from features.targets import load_target

FIRST = 1_700_000_000_000_000  # microseconds
DAY = 86_400_000_000
DAYS, LEADS, LOT = 400, 2_000, 500_000
AS_OF = datetime(2025, 2, 1, tzinfo=UTC)
NAMES = ("web_visit", "pricing_visit", "email_sent", "email_opened", "email_replied")
VIEWS = ("lead_engagement", "lead_cadence")


def fill(workspace: Workspace, events: int) -> None:
    """Put an account into the log: of its events 5 % are learnt of late, 2 % correct others."""
    log.create(workspace.tables, workspace.settings.buckets)
    rng, writer = np.random.default_rng(7), workspace.tables.writer(log.TABLE)
    writer.add(_created())
    for start in range(0, events, LOT):
        writer.add(_touches(rng, start, min(LOT, events - start), events))
    workspace.tables.commit(log.TABLE, writer.close())


def _created() -> pa.Table:
    at = FIRST + np.arange(LEADS) * DAY * DAYS // LEADS
    return _log(at, at, [f"created-{n}" for n in range(LEADS)], np.arange(LEADS), "lead", "created")


def _touches(rng: np.random.Generator, start: int, count: int, events: int) -> pa.Table:
    number = np.arange(start, start + count)
    at = FIRST + number * (DAY * DAYS // events) + rng.integers(0, DAY, count)
    known = at + (rng.random(count) < 0.05) * rng.integers(0, 60 * DAY, count)
    row = np.where(rng.random(count) < 0.02, number - rng.integers(1, 1 + events // 10), number)
    lead = rng.integers(0, LEADS, count)
    names = np.array(NAMES)[rng.integers(0, len(NAMES), count)]
    return _log(at, known, [f"touch-{n}" for n in row.tolist()], lead, "touch", names)


def _log(
    at: np.ndarray, known: np.ndarray, keys: list[str], lead: np.ndarray, kind: str, names: Any
) -> pa.Table:
    count = len(at)
    leads = pa.array([f"lead-{n}" for n in range(LEADS)])
    columns: dict[str, Any] = {
        "row_key": keys,
        "source": ["test"] * count,
        "kind": [kind] * count,
        "name": pa.array(np.broadcast_to(names, count), pa.string()),
        "event_time": pa.array(at).cast(log.MICROSECONDS),
        "known_at": pa.array(known).cast(log.MICROSECONDS),
        "account": ["hot"] * count,
        "lead": leads.take(pa.array(lead)),
    }
    full = {f.name: columns.get(f.name, pa.nulls(count, f.type)) for f in log.CANDIDATE}
    return log.identified(pa.table(full).cast(log.CANDIDATE))


def plan(workspace: Workspace) -> Plan:
    """Return training rows with everything that there is on leads."""
    target = load_target("lead_qualification").model_copy(update={"views": VIEWS})
    snapshot = log.pinned(workspace.tables)
    return Plan(target=target, purpose="training", as_of=AS_OF, snapshot=snapshot)


def rows(workspace: Workspace) -> dict[str, object]:
    """Compute the rows of the one bucket; returns what is to be said of it."""
    own = plan(workspace)
    (bucket,) = workspace.tables.buckets(log.TABLE, own.snapshot)
    began = time.perf_counter()
    made = step.rows_of(workspace, own, bucket)
    took = time.perf_counter() - began
    return {
        "rows": made.num_rows,
        "said": content.of(made).said(),
        "peak_mib": peak_mib(),
        "seconds": round(took, 1),
    }


def peak_mib() -> float:
    """Return the most memory that this process ever held, in MiB."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return round(int(found[1]) / 1024) if found else 0


if __name__ == "__main__":
    home, what, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    settings = Settings(home=home, buckets=1, slice_events=number if what == "rows" else 1)
    with Workspace.open(settings) as workspace:
        if what == "fill":
            fill(workspace, number)
        else:
            sys.stdout.write(json.dumps(rows(workspace)) + "\n")
