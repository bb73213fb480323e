"""How long the features of one entity take at request time, look-up of its history included.

A base of shards, each with one lead of 300 events and the usage of its account, and 3 events of
each in the tail; requests ask for one shard after the other, at random, with 2 events or without.
Rows are held against the batch first. Ways are timed in turn, so that other work on the machine
meets all of them alike. The last line is one JSON object.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cluster.settings import Settings
from cluster.workspace import Workspace
from features import compute, log, online, spine
from features.compute.program import compiled
from features.online import entity
from features.targets import load_target
from features.views.language import Events
from tests.features.test_compute_oracle import VIEW

if TYPE_CHECKING:
    from collections.abc import Callable

    from features.compute.program import Program
    from features.compute.single import Row
    from features.online.history import History
    from features.targets import Target

TARGET = "lead_qualification"
SHARDS, EVENTS, USAGE, LATE, SENT = 400, 300, 40, 3, 2
REPEATS, CHECKED = 3_000, 40
SECOND, DAY = 1_000_000, 86_400_000_000
START, DAYS = 1_700_006_400 * SECOND, 200
AT = datetime.fromtimestamp(START // SECOND, UTC) + timedelta(days=DAYS)
ATTRIBUTES = ("origin", "landing_page", "seniority", "region", "industry", "employees")
TOUCHES = ("web_visit", "pricing_visit", "email_sent", "email_opened", "email_clicked",
           "email_replied", "content_download", "form_submitted", "ad_click")  # fmt: skip
ACTIVITIES = ("call", "meeting", "email")
ANCHOR = Events(kind="lead", names=("created",))

type Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A shard, its lead, and events that come with the request."""

    shard: str
    lead: str
    sent: pa.Table


def main() -> None:
    """Measure, check, and print the figures."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-online-") as folder,
        Workspace.open(Settings(home=Path(folder) / "home", buckets=4)) as workspace,
    ):
        _fill(workspace)
        figures = _measured(online.OnlineStore(workspace), load_target(TARGET))
    sys.stdout.write(json.dumps(figures) + "\n")


def _fill(workspace: Workspace) -> None:
    """Write a log whose first part makes a base and whose second stays in the tail."""
    rng = np.random.default_rng(11)
    log.create(workspace.tables, workspace.settings.buckets)
    workspace.tables.append(log.TABLE, _events(rng, EVENTS, USAGE, "a"))
    online.follow(workspace)
    workspace.tables.append(log.TABLE, _events(rng, LATE, 0, "b"))
    online.follow(workspace)


def _events(rng: np.random.Generator, own: int, usage: int, batch: str) -> pa.Table:
    """Return events of every lead and of its account."""
    rows = [
        _event(rng, shard, n, own, batch) for shard in range(SHARDS) for n in range(own + usage)
    ]
    return log.identified(pa.Table.from_pylist(rows, schema=log.CANDIDATE))


def _event(rng: np.random.Generator, shard: int, n: int, own: int, batch: str) -> Figures:
    kind, name = _what(rng, n, own, batch)
    day = 0 if kind in {"lead", "attribute"} else int(rng.integers(1, DAYS * 86_400))
    happened = datetime.fromtimestamp(START // SECOND + day, UTC)
    late = timedelta(seconds=int(rng.integers(0, 5 * 86_400)) * int(rng.random() < 0.05))
    is_correction = n > 20 and rng.random() < 0.01
    return {
        "row_key": f"crm:{batch}:{shard}:{n - is_correction}",
        "source": "crm",
        "source_row": n,
        "kind": kind,
        "name": name,
        "event_time": happened,
        "known_at": happened + late + timedelta(hours=is_correction),
        "account": f"account-{shard}",
        "lead": None if n >= own else f"lead-{shard}",
        "number": int(rng.integers(0, 500)) if rng.random() < 0.6 else None,
        "text": f"/page/{int(rng.integers(0, 200))}" if rng.random() < 0.7 else None,
    }


def _what(rng: np.random.Generator, n: int, own: int, batch: str) -> tuple[str, str]:
    if n >= own:
        return "usage", "session"
    if batch == "a" and n <= len(ATTRIBUTES):
        return ("attribute", ATTRIBUTES[n - 1]) if n else ("lead", "created")
    if rng.random() < 0.15:
        return "activity", str(rng.choice(ACTIVITIES))
    return "touch", str(rng.choice(TOUCHES))


def _measured(store: online.OnlineStore, target: Target) -> Figures:
    asked, all_aggregates = entity.program(target), compiled(VIEW, ANCHOR)
    questions = _questions(np.random.default_rng(12))
    for question in questions[:CHECKED]:
        _require_equal(store, asked, question)
        _require_equal(store, all_aggregates, question)
    histories = {q.shard: store.history(q.shard) for q in questions}
    rows = {q.shard: _spine(asked, histories[q.shard], q) for q in questions}
    ways: dict[str, Callable[[Question], object]] = {
        "ms": lambda q: _answer(store, asked, q),
        "kernel_ms": lambda q: _row(asked, histories[q.shard], q),
        "lookup_ms": lambda q: store.history(q.shard),
        "110_ms": lambda q: _answer(store, all_aggregates, q),
        "sent_ms": lambda q: _answer(store, asked, q, q.sent),
    }
    figures = _timed(ways, questions, REPEATS)
    figures |= _timed({
        "batch_ms": lambda q: compute.compute(
            target.features, histories[q.shard].table(), rows[q.shard]),
        "table_ms": lambda q: entity.table(asked, _row(asked, histories[q.shard], q)),
    }, questions, 300)  # fmt: skip
    counts = {"events": EVENTS, "usage": USAGE, "late": LATE, "sent": SENT, "shards": SHARDS}
    return figures | counts | {
        "features": len(target.features.features),
        "features_110": len(VIEW.features),
        "checked": 2 * CHECKED,
    }  # fmt: skip


def _questions(rng: np.random.Generator) -> list[Question]:
    """Return every shard once, in any order, with two events that come with the request."""
    return [
        Question(
            shard=f"account-{n}",
            lead=f"lead-{n}",
            sent=log.identified(pa.Table.from_pylist(
                [_event(rng, int(n), 30 + k, EVENTS, "request") for k in range(SENT)],
                schema=log.CANDIDATE,
            )),
        )
        for n in rng.permutation(SHARDS)
    ]  # fmt: skip


def _answer(
    store: online.OnlineStore, program: Program, asked: Question, sent: pa.Table | None = None
) -> object:
    history = store.history(asked.shard)
    if sent is not None:
        history = entity.joined(history, asked.shard, sent)
    return _row(program, history, asked)


def _row(program: Program, history: History, asked: Question) -> Row | None:
    return entity.row(program, history, asked.lead, AT)


def _spine(program: Program, history: History, asked: Question) -> pa.Table:
    found = entity.table(program, _row(program, history, asked))
    return found.select(spine.SCORING.names)


def _require_equal(store: online.OnlineStore, program: Program, asked: Question) -> None:
    """The same bits as the batch, with the events of the request and without."""
    stored = store.history(asked.shard)
    for history in (stored, entity.joined(stored, asked.shard, asked.sent)):
        found = entity.table(program, _row(program, history, asked))
        events, rows = history.table(), _spine(program, history, asked)
        if rows.num_rows != 1 or not compute.compute(program.view, events, rows).equals(found):
            raise SystemExit(f"the row of {asked.lead} must be that of the batch, got {found}")


def _timed(
    ways: dict[str, Callable[[Question], object]], questions: list[Question], repeats: int
) -> Figures:
    """Return p50 and p99 of each way, in turn with the others, and p50 of its processor time."""
    lasted: dict[str, list[tuple[int, int]]] = {name: [] for name in ways}
    gc.collect()
    gc.freeze()
    for n in range(repeats):
        for name, way in ways.items():
            begun, used = time.perf_counter_ns(), time.thread_time_ns()
            way(questions[n % len(questions)])
            lasted[name].append((time.thread_time_ns() - used, time.perf_counter_ns() - begun))
    figures: Figures = {}
    for name, taken in lasted.items():
        used, waited = np.array(taken).T / 1e6
        figures[f"p50_{name}"] = round(float(np.percentile(waited, 50)), 4)
        figures[f"p99_{name}"] = round(float(np.percentile(waited, 99)), 4)
        figures[f"cpu_p50_{name}"] = round(float(np.percentile(used, 50)), 4)
    return figures


if __name__ == "__main__":
    main()
