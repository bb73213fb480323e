"""The rollup as a user runs it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from cluster.errors import WrongUse
from features import log
from jobs import console
from jobs.rollup.run import JOB, RollupSettings

if TYPE_CHECKING:
    from cluster.workspace import Workspace


def _done(workspace: Workspace, **how: Any) -> Any:
    return console.perform(JOB, RollupSettings(**how), workspace, lambda *_: None)


def _fill(workspace: Workspace) -> None:
    """Write the calls of three reps to the log, one a day for a month."""
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(31)]
    times = pa.array(days, log.MICROSECONDS)
    plain = {"row_key": [str(n) for n in range(31)], "source": ["test"] * 31,
             "kind": ["activity"] * 31, "name": ["call"] * 31, "event_time": times,
             "known_at": times, "account": [f"account-{n % 7}" for n in range(31)],
             "rep": [f"rep-{n % 3}" for n in range(31)]}  # fmt: skip
    full = {f.name: plain.get(f.name, pa.nulls(31, f.type)) for f in log.CANDIDATE}
    log.create(workspace.tables, 4)
    workspace.tables.append(log.TABLE, log.identified(pa.table(full).cast(log.CANDIDATE)))


def test_reps_week_by_week(workspace: Workspace) -> None:
    """A row per rep and moment; done again, nothing is."""
    _fill(workspace)
    first = _done(workspace, view="rep_workload", moments=4)
    report = first.report
    assert report["figures"]["entities"] == 3
    assert report["wrote"]["rows"] == 12
    assert report["decided"] == [
        "3 reps at 4 moments from 2026-01-10T00:00:00+00:00 to 2026-01-31T00:00:00+00:00"
    ]
    rows = workspace.tables.read("rollup_rep_workload").to_pandas()
    assert rows[rows["entity"] == "rep-0"]["rep_activities_7d"].tolist() == [2, 3, 2, 2]
    assert not first.unchanged
    assert _done(workspace, view="rep_workload", moments=4).unchanged


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"view": "rep_workloads"}, "did you mean 'rep_workload'?"),
        ({"view": "lead_cadence"}, "must be of campaigns, reps or segments"),
        ({"every_days": 0.0}, "--every-days must be above 0, got 0.0"),
        ({"moments": 0}, "--moments must be from 1 to 1000, got 0"),
    ],
)
def test_wrong_use_is_one_line(how: dict[str, Any], words: str) -> None:
    """Before anything is read."""
    with pytest.raises(WrongUse) as error:
        RollupSettings(**how)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
