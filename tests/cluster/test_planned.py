"""The plan of a snapshot is made once, and again when the table was given more columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from cluster import planned
from cluster.planned import Plans

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from cluster.planned import Planned
    from cluster.workspace import Workspace

ROWS = pa.table({"a": pa.array([1, 2], pa.int64())})


def _counted(plan: Callable[[str, int], Planned], asked: list[int]) -> Plans:
    def count(name: str, snapshot: int) -> Planned:
        asked.append(snapshot)
        return plan(name, snapshot)

    return Plans(count)


def test_a_snapshot_is_planned_once_and_forgotten_when_many_came_after(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One plan for any number of questions; memory holds only the last ones."""
    monkeypatch.setattr(planned, "KEPT", 2)
    tables, asked = workspace.tables, list[int]()
    tables.create("numbers", ROWS.schema)
    heads = [tables.append("numbers", ROWS) for _ in range(3)]
    plans = _counted(tables._planned, asked)
    for head in (heads[0], heads[0], heads[1], heads[2], heads[2], heads[0]):
        plans.of("numbers", head)
    assert asked == [heads[0], heads[1], heads[2], heads[0]]


def test_columns_that_came_later_are_read_from_a_snapshot_of_before(workspace: Workspace) -> None:
    """What was planned with fewer columns does not hide the new one."""
    tables = workspace.tables
    tables.create("numbers", ROWS.schema)
    tables.append("numbers", ROWS)
    (bucket,) = tables.buckets("numbers")
    assert tables.read_bucket(bucket, ["a"]).num_rows == 2
    tables.reshape("numbers", ROWS.schema.append(pa.field("b", pa.string())))
    assert tables.read_bucket(bucket, ["a", "b"])["b"].null_count == 2
