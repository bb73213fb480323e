"""How many journal entries a second one SQLite file takes beside the catalog and the online events.

Open loop: entries are offered at a fixed rate, and a wait runs from the scheduled time to durable.
Each load has a process of its own, as in production. A probe tells what the machine itself did
meanwhile: how late a sleeper woke, how long a bare fsync took. The last line is one JSON object.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cluster import database, journal, schema, tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from multiprocessing.synchronize import Barrier

    type Load = Callable[[str, str, Barrier], Figures]

SECONDS = 10.0
JOURNAL_PER_S = 400
JOURNAL_THREADS = 4
BODY_BYTES = 2000
ONLINE_PER_S = 2000
ONLINE_BATCH = 200
ONLINE_SHARDS = 2000
COMMIT_EVERY_S = 0.5
COMMIT_ROWS = 100
PROBE_EVERY_S = 0.02

Figures = dict[str, Any]


@dataclass
class Offered:
    """What one journal run offered, and the waits of what was acknowledged, in seconds."""

    count: int = 0
    waits: list[float] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> None:
    """Measure the journal alone, everything on one file, and the journal on a file of its own."""
    figures: Figures = {}
    for name, beside, shared in (
        ("alone", False, True),
        ("together", True, True),
        ("two_files", True, False),
    ):
        with tempfile.TemporaryDirectory(prefix="bench-ground-") as folder:
            measured = _measure(Path(folder), beside=beside, shared=shared)
        if name == "together":
            figures |= measured
        else:
            figures |= {
                f"{name}_{k}": v
                for k, v in measured.items()
                if k.startswith(("journal", "machine"))
            }
        sys.stdout.write(f"{name}: {json.dumps(measured)}\n")
    ratio = figures["journal_wait_ms_p99"] / figures["alone_journal_wait_ms_p99"]
    figures["wait_p99_ratio_to_alone"] = round(ratio, 2)
    sys.stdout.write(json.dumps(figures) + "\n")


def _measure(folder: Path, *, beside: bool, shared: bool) -> Figures:
    journal_url = f"sqlite:///{folder}/one.db"
    other_url = journal_url if shared else f"sqlite:///{folder}/two.db"
    for url in {journal_url, other_url}:
        database.open_database(url).close()
    loads = (_probe, _commit_tables, _insert_online) if beside else (_probe,)
    spawn = multiprocessing.get_context("spawn")
    results, ready = spawn.SimpleQueue(), spawn.Barrier(len(loads) + 1)
    children = [
        spawn.Process(target=_child, args=(load, other_url, str(folder), ready, results))
        for load in loads
    ]
    for child in children:
        child.start()
    figures = _offer_journal(journal_url, ready)
    for _ in children:
        figures |= results.get()
    for child in children:
        child.join()
    return figures


def _child(load: Load, url: str, folder: str, ready: Barrier, results: Any) -> None:
    results.put(load(url, folder, ready))


def _started(ready: Barrier) -> float:
    """Wait until every process is set up; return when the load begins."""
    ready.wait()
    return time.monotonic() + 0.5


def _offer_journal(url: str, ready: Barrier) -> Figures:
    db = database.open_database(url)
    offered = Offered()
    with closing(db), closing(journal.Journal(db, "bench")) as writer:
        writer.record("warm-up", {}, now=datetime.now(UTC))
        start = _started(ready)
        threads = [
            threading.Thread(target=_offer, args=(writer, offered, start, number))
            for number in range(JOURNAL_THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.close()
        took = time.monotonic() - start
        stored = {entry.id for entry in writer.entries("bench")}
        return {
            "journal_offered_per_s": round(offered.count / SECONDS, 1),
            "journal_acknowledged_per_s": round(len(offered.waits) / took, 1),
            **_spread("journal_wait_ms", offered.waits),
            "journal_failed": len(offered.failed),
            "lost": len(offered.acknowledged - stored),
            "chain_ok": bool(writer.verify()),
        }


def _offer(writer: journal.Journal, offered: Offered, start: float, number: int) -> None:
    step = JOURNAL_THREADS / JOURNAL_PER_S
    due = start + number * step / JOURNAL_THREADS
    while due < start + SECONDS:
        time.sleep(max(0.0, due - time.monotonic()))
        body = {"due": due, "text": os.urandom(BODY_BYTES // 2).hex()}
        future = writer.append("bench", body, now=datetime.now(UTC))
        with offered.lock:
            offered.count += 1
        future.add_done_callback(partial(_note, offered, due))
        due += step


def _note(offered: Offered, due: float, done: Future[journal.Entry]) -> None:
    error = done.exception()
    with offered.lock:
        if error is None:
            offered.waits.append(time.monotonic() - due)
            offered.acknowledged.add(done.result().id)
        else:
            offered.failed.append(str(error))


def _probe(_url: str, folder: str, ready: Barrier) -> Figures:
    late: list[float] = []
    took: list[float] = []
    due = start = _started(ready)
    with (Path(folder) / "probe").open("wb", buffering=0) as file:
        while due < start + SECONDS:
            time.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            late.append(began - due)
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append(time.monotonic() - began)
            due += PROBE_EVERY_S
    return {**_spread("machine_wake_late_ms", late), **_spread("machine_fsync_ms", took)}


def _commit_tables(url: str, folder: str, ready: Barrier) -> Figures:
    catalog = tables.Tables(url, folder)
    rows = pa.table({"id": np.arange(COMMIT_ROWS), "value": np.ones(COMMIT_ROWS)})
    catalog.create("bench", rows.schema)
    catalog.append("bench", rows)  # warm-up
    took: list[float] = []
    due = start = _started(ready)
    while due < start + SECONDS:
        time.sleep(max(0.0, due - time.monotonic()))
        began = time.monotonic()
        catalog.append("bench", rows)
        took.append(time.monotonic() - began)
        due += COMMIT_EVERY_S
    committed = catalog.read("bench").num_rows // COMMIT_ROWS - 1
    return {"catalog_commits": committed, **_spread("catalog_commit_ms", took)}


def _insert_online(url: str, _folder: str, ready: Barrier) -> Figures:
    db = database.open_database(url)
    took: list[float] = []
    inserted = 0
    due = start = _started(ready)
    while due < start + SECONDS:
        time.sleep(max(0.0, due - time.monotonic()))
        began = time.monotonic()
        with db.begin() as connection:
            connection.execute(schema.online_events.insert(), _events(inserted))
        took.append(time.monotonic() - began)
        inserted += ONLINE_BATCH
        due += ONLINE_BATCH / ONLINE_PER_S
    lasted = time.monotonic() - start
    db.close()
    return {
        "online_rows_per_s": round(inserted / lasted, 1),
        **_spread("online_batch_ms", took),
    }


def _events(first: int) -> list[dict[str, Any]]:
    return [
        {
            "event_id": os.urandom(16).hex(),
            "shard": f"shard-{number % ONLINE_SHARDS}",
            "known_at": number,
            "payload": os.urandom(300),
        }
        for number in range(first, first + ONLINE_BATCH)
    ]


def _spread(name: str, seconds: list[float]) -> Figures:
    values = np.array(seconds) * 1000
    p50, p99, top = np.percentile(values, [50, 99, 100])
    return {
        f"{name}_p50": round(float(p50), 2),
        f"{name}_p99": round(float(p99), 2),
        f"{name}_max": round(float(top), 2),
    }


if __name__ == "__main__":
    main()
