"""The pace of the log: each account once, of the days whose outcomes are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from cluster.errors import Refusal
from features import spine
from features.targets import load_target
from serving.leading import pace
from serving.leading.pace import Pace
from serving.releases.plan import load_plan

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
TARGET = load_target("lead_qualification")


def _rows(*rows: tuple[str, float, bool, bool]) -> pa.Table:
    """Return rows of account, day, label and maturity."""
    made: list[dict[str, Any]] = [
        {"entity": f"lead-{n}", "account": account, "time": BEGAN + timedelta(days=day)}
        | {"label": label, "mature": mature}
        for n, (account, day, label, mature) in enumerate(rows)
    ]
    return pa.Table.from_pylist(made, schema=spine.TRAINING)


def test_each_account_counts_by_its_first() -> None:
    """What is not mature, and what is older, does not count."""
    found = pace.paced(
        _rows(
            ("a", 200, True, True),
            ("a", 205, False, True),
            ("b", 201, False, True),
            ("c", 210, False, True),
            ("d", 210, True, False),
            ("e", 20, True, True),
        )
    )
    assert found == Pace(accounts_per_day=0.3, rate=pytest.approx(1 / 3))


def test_nothing_known_is_refused() -> None:
    """There is no pace without outcomes; nor a length without an experiment."""
    assert isinstance(pace.paced(_rows(("a", 1, False, True))), Refusal)
    assert isinstance(pace.paced(_rows(("a", 1, True, False))), Refusal)
    known = Pace(accounts_per_day=10.0, rate=0.2)
    assert isinstance(pace.expected(load_plan("canary"), TARGET, known), Refusal)
    every = Pace(accounts_per_day=10.0, rate=1.0)
    assert isinstance(pace.expected(load_plan("experiment"), TARGET, every), Refusal)
