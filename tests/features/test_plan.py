"""What a plan makes: rows that can be made again, pinned, under the columns of their views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.settings import CONFIGS
from cluster.workspace import Workspace
from features import content, engine, ingest, log, spine, targets
from features.contracts import load_contracts
from tests.features import child_plan
from tests.features.child_plan import plan, quiet

if TYPE_CHECKING:
    from pathlib import Path

    from features.engine import Materialized

CONTRACTS = load_contracts(CONFIGS / "contracts")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Open a workspace with a small log."""
    with Workspace.open(child_plan.settings(tmp_path / "home", buckets=4)) as opened:
        child_plan.fill(opened)
        yield opened


def _made(workspace: Workspace, **changes: Any) -> Materialized:
    return engine.materialize(workspace, plan(workspace, **changes), "inline", quiet)


def test_a_training_set_is_the_same_after_late_facts_and_corrections(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known later than the knowledge cut, they change no row of it. Mutants: anchors and labels, or
    closings, as known today.
    """
    before = _made(workspace)
    late = _learnt_later(workspace.tables.read(log.TABLE))
    assert ingest.ingest(workspace, CONTRACTS, late).added == late.num_rows
    after = _made(workspace)
    assert (after.content, after.tag) == (before.content, before.tag)
    assert after.snapshot != before.snapshot
    for name, mutant in MUTANTS.items():
        workspace.tables.replace(after.table, plan(workspace).schema.empty_table())
        with monkeypatch.context() as patch:
            patch.setattr(spine._Versions, name, mutant)
            made = _made(workspace)
        assert made.computed == made.buckets
        assert made.content != before.content


def _learnt_later(events: pa.Table) -> pa.Table:
    """Return corrections of what leads did, and facts about them, all known after the cut.

    They say that it was ten days before, in another account; that leads qualified, and closed.
    """
    leads = events.filter(pc.equal(events["kind"], "lead")).select(log.CANDIDATE.names)
    known = pa.scalar(child_plan.AS_OF + timedelta(days=1), log.MICROSECONDS)
    leads = _with(leads, known_at=pa.repeat(known, leads.num_rows))
    sooner = pc.subtract(leads["event_time"], pa.scalar(timedelta(days=10)))
    moved = _with(leads, event_time=sooner, account=pa.repeat("another", leads.num_rows))
    created = leads.filter(pc.equal(leads["name"], "created"))
    late = [
        _with(
            created,
            name=pa.repeat(name, created.num_rows),
            row_key=pc.binary_join_element_wise(created["row_key"], name, ":"),
        )
        for name in ("qualified", "disqualified")
    ]
    return pa.concat_tables([moved, *late])


def _with(table: pa.Table, **columns: Any) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    return table.cast(log.CANDIDATE)


STANDING, KNOWN_BEFORE = spine._Versions.standing, spine._Versions.known_before


def _as_known_today(versions: Any, at: int) -> Any:
    return STANDING(versions, log.NEVER - 1)


def _known_all_along(versions: Any, rows: Any) -> Any:
    return KNOWN_BEFORE(replace(STANDING(versions, log.NEVER - 1), known=versions.known * 0), rows)


MUTANTS = {"standing": _as_known_today, "known_before": _known_all_along}


def test_a_training_set_outlives_maintenance(workspace: Workspace) -> None:
    """Its tag names the target, its version and the content; other purposes have none."""
    usual = plan(workspace)
    both = [_made(workspace), _made(workspace, as_of=usual.as_of - timedelta(days=200))]
    name = f"{usual.target.name}-{usual.target.version}"
    assert [made.tag for made in both] == [f"{name}-{made.content[:16]}" for made in both]
    assert _made(workspace, purpose="scoring").tag is None
    workspace.tables.expire(usual.table, datetime.now(UTC) + timedelta(days=1))
    for made in both:
        rows = workspace.tables.read(made.table, made.snapshot)
        assert content.of(rows).digest(usual.schema) == made.content


def test_a_changed_view_changes_the_columns_of_new_snapshots(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the same target; the ones that were made before keep theirs."""
    target = plan(workspace).target
    whole, named = target.features, {*target.monotone, *target.segments, *target.fairness}
    before = _made(workspace)
    changed = replace(whole.features[6], name="new")
    kept = (feature for feature in whole.features if feature.name in named)
    fewer = replace(whole, features=(*kept, changed))
    monkeypatch.setattr(targets, "view", lambda name: fewer)
    after = _made(workspace)
    for view, made in ((whole, before), (fewer, after)):
        rows = workspace.tables.read(made.table, made.snapshot)
        assert set(view.columns) == set(rows.column_names) - set(targets.ROW_COLUMNS)
        assert rows.num_rows == made.rows > 0
    assert rows["new"].null_count == 0


def test_a_plan_without_rows_is_an_empty_snapshot(workspace: Workspace) -> None:
    """Before anything was known there is nothing, and it is committed all the same."""
    whole = _made(workspace)
    empty = _made(workspace, as_of=datetime(1999, 1, 1, tzinfo=UTC))
    assert (empty.rows, workspace.tables.read(empty.table).num_rows) == (0, 0)
    assert workspace.tables.read(whole.table, whole.snapshot).num_rows == whole.rows > 0
    assert _made(workspace, as_of=datetime(1999, 1, 1, tzinfo=UTC)).snapshot == empty.snapshot
