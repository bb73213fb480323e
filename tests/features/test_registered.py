"""Targets on record: the newest definition by ref, its moves the change log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import canonical
from features import registered
from features.targets import load_target

if TYPE_CHECKING:
    from cluster.workspace import Workspace


def test_a_changed_target_is_one_more_move(workspace: Workspace) -> None:
    """The same again writes nothing; what was there stays readable."""
    first = load_target("lead_qualification")
    second = first.model_copy(update={"horizon_days": first.horizon_days + 1})
    for target in (first, first, second, second):
        registered.keep(workspace, target, "materialize", "rows")
    moves = workspace.refs.history("targets/lead_qualification")
    kept = [workspace.blobs.get(move.target) for move in moves]
    assert kept == [canonical.dumps(t.model_dump(mode="json")) for t in (first, second)]
    assert [move.epoch for move in moves] == [1, 2]
