"""The engine over a real log: both runners, the same bits; and what ingestion does with rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.settings import CONFIGS
from features import engine, ingest, log
from features.contracts import load_contracts
from features.online import OnlineStore, entity
from features.plan import Plan
from features.sources.world import WorldConfig, generate
from features.targets import load_target
from tests.drills import mostly

if TYPE_CHECKING:
    import pyarrow as pa

    from cluster.workspace import Workspace

CONTRACTS = load_contracts(CONFIGS / "contracts")
ORDER = [("entity", "ascending"), ("time", "ascending")]


def _small_world() -> pa.Table:
    return generate(WorldConfig(seed=3, scale=0.05, weeks=40, faults=0.01)).events


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    """Return a workspace with a small world in its log."""
    ingest.ingest(workspace, CONTRACTS, _small_world())
    return workspace


def _plan(workspace: Workspace, target: str, purpose: str) -> Plan:
    snapshot = log.pinned(workspace.tables)
    return Plan(
        target=load_target(target),
        purpose=purpose,  # type: ignore[arg-type]
        as_of=log.latest(workspace.tables, snapshot),
        snapshot=snapshot,
    )


def _quiet(done: int, total: int, what: str) -> None:
    pass


def test_every_row_ends_in_the_log_or_in_quarantine(workspace: Workspace) -> None:
    """Nothing is lost, and a second reading adds nothing anywhere."""
    rows = _small_world()
    first = ingest.ingest(workspace, CONTRACTS, rows)
    assert first.counts.read == first.added + first.quarantined > first.quarantined > 0
    kept = workspace.tables.read(log.QUARANTINE).num_rows
    second = ingest.ingest(workspace, CONTRACTS, rows)
    assert (second.added, second.known) == (0, first.added)
    assert workspace.tables.read(log.QUARANTINE).num_rows == kept
    kinds = workspace.tables.read(log.TABLE)["kind"].to_pylist()
    assert len(kinds) - kinds.count(log.RETRACTION) == first.added


def test_reordered_and_split_input_gives_the_same_log(
    workspace: Workspace, filled: Workspace
) -> None:
    """Ids do not depend on the way a source was read."""
    ids = set(filled.tables.read(log.TABLE)["event_id"].to_pylist())
    backwards = _small_world()
    half = backwards.num_rows // 2
    for part in (backwards.slice(half), backwards.slice(0, half + 500)):
        ingest.ingest(workspace, CONTRACTS, part)
    assert set(workspace.tables.read(log.TABLE)["event_id"].to_pylist()) == ids


@pytest.mark.parametrize("target", ["lead_qualification", "opportunity_win"])
def test_online_rows_equal_batch_rows_to_the_bit(filled: Workspace, target: str) -> None:
    """What the service computes of one shard's history, from the online store."""
    plan = _plan(filled, target, "scoring")
    made = engine.materialize(filled, plan, "inline", _quiet)
    batch = filled.tables.read(made.table, made.snapshot).sort_by(ORDER)
    store, program = OnlineStore(filled), entity.program(plan.target)
    for row in batch.slice(0, 15).to_pylist():
        shard = store.shard_of(plan.target.entity, row["entity"])
        assert shard is not None
        found = entity.row(program, store.history(shard), row["entity"], plan.as_of)
        assert entity.table(program, found).to_pylist() == [row]


@pytest.mark.ray
@pytest.mark.parametrize("purpose", mostly(["training", "scoring"]))
def test_both_runners_give_the_same_bits(
    filled: Workspace, ray_session: None, purpose: str
) -> None:
    """Ray Data over two nodes, threads in this process: equal rows and schema, both nodes used, and
    each bucket told of as it is done.
    """
    plan = _plan(filled, "lead_qualification", purpose)
    told: list[int] = []
    there = engine.materialize(filled, plan, "ray", lambda done, total, what: told.append(done))
    filled.tables.replace(plan.table, plan.schema.empty_table())  # else it would be done already
    here = engine.materialize(filled, plan, "inline", _quiet)
    tables = [
        filled.tables.read(made.table, made.snapshot).sort_by(ORDER) for made in (there, here)
    ]
    assert tables[0].equals(tables[1])
    assert tables[0].num_rows > 0
    assert there.content == here.content
    assert (there.computed, here.computed) == (there.buckets, here.buckets)
    assert filled.tables.properties(there.table, there.snapshot)[log.MADE_FROM] == str(
        plan.snapshot
    )
    assert there.nodes == 2
    assert told == list(range(there.buckets + 1))
