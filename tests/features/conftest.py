"""Small event logs for the tests of features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features import log
from features.known import KnownIds, fresh

START = 1_700_000_000_000_000  # microseconds, 2023-11-14
DAY = 86_400_000_000


@pytest.fixture
def make_events() -> Callable[..., pa.Table]:
    """Return a function that makes events from dicts; times in days after the start."""

    def make(*rows: dict[str, Any]) -> pa.Table:
        full = []
        for number, row in enumerate(rows):
            at = row.pop("at")
            known = row.pop("known", at)
            plain = {"row_key": f"row-{number}", "source": "test", "kind": "touch", "name": "visit"}
            times = {"event_time": START + round(at * DAY), "known_at": START + round(known * DAY)}
            full.append({**plain, "account": "a", **times, **row})
        whole = pa.int64()
        kinds = {f.name: whole if pa.types.is_timestamp(f.type) else f.type for f in log.CANDIDATE}
        stamped = pa.schema([pa.field(name, kind) for name, kind in kinds.items()])
        return log.identified(pa.Table.from_pylist(full, schema=stamped).cast(log.CANDIDATE))

    return make


@pytest.fixture
def random_events() -> Callable[[int, int], pa.Table]:
    """Return a function that makes a messy log: late, corrected, in no order, over few accounts."""

    def make(seed: int, events: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        lead = rng.integers(0, 12, events)
        at = START + rng.integers(0, 60, events) * DAY + rng.integers(0, 3, events)
        names = np.array(["web_visit", "pricing_visit", "email_opened", "email_replied"])
        columns: dict[str, Any] = {
            "row_key": [
                f"row-{k}-{r}"
                for k, r in zip(lead, rng.integers(0, events // 15, events), strict=True)
            ],
            "source": ["test"] * events,
            "kind": ["touch"] * events,
            "name": names[rng.integers(0, 4, events)],
            "event_time": pa.array(at).cast(log.MICROSECONDS),
            "known_at": pa.array(at + rng.integers(0, 5, events) * DAY // 2).cast(log.MICROSECONDS),
            "account": [f"account-{k % 4}" for k in lead],
            "lead": [f"lead-{k}" for k in lead],
            "number": pa.array(rng.integers(-5, 100, events), mask=rng.random(events) < 0.1),
            "text": rng.choice(["red", "green", "blue"], events),
        }
        full = {f.name: columns.get(f.name, pa.nulls(events, f.type)) for f in log.CANDIDATE}
        return fresh(log.identified(pa.table(full).cast(log.CANDIDATE)), KnownIds())[0]

    return make
