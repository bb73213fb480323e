"""Ids kept between ingestions: those of commits only, and never too few."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from cluster.settings import CONFIGS
from features import ingest, log
from features.contracts import load_contracts
from features.ingest import committed, table
from features.ingest.gates import Gates

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from cluster.workspace import Workspace


CONTRACTS = load_contracts(CONFIGS / "contracts")


@pytest.fixture
def visit(make_events: Callable[..., pa.Table]) -> Callable[[int], pa.Table]:
    """Return a function that makes one candidate."""

    def make(number: int) -> pa.Table:
        row = {"at": number, "row_key": f"row-{number}", "name": "web_visit"}
        return make_events(row).select(log.CANDIDATE.names)

    return make


def _ids(workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
    return log.halves(workspace.tables.read(log.TABLE)["event_id"])


def test_each_ingestion_reads_the_ids_of_new_files_only(
    workspace: Workspace,
    visit: Callable[[int], pa.Table],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ids of every commit are there, those of one that came before are not read again."""
    read: list[int] = []
    whole = committed._read

    def counting(tables: Any, name: str, files: list[Any], into: Any) -> Any:
        read.append(sum(file.record_count for file in files))
        return whole(tables, name, files, into)

    monkeypatch.setattr(committed, "_read", counting)
    for number in range(3):
        ingest.ingest(workspace, CONTRACTS, visit(number))
        found = committed.ids(workspace.tables, log.TABLE, workspace.tables.head(log.TABLE))
        assert found.holds(*_ids(workspace)).all()
        assert len(found) == workspace.tables.read(log.TABLE).num_rows
    assert sum(read) == len(found)


def test_rows_of_an_ingestion_that_failed_come_again(
    workspace: Workspace,
    visit: Callable[[int], pa.Table],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was known to a run that did not land is not known to the next one."""
    ingest.ingest(workspace, CONTRACTS, visit(0))
    with monkeypatch.context() as broken:
        broken.setattr(Gates, "land", _full)
        with pytest.raises(OSError, match="full"):
            ingest.ingest(workspace, CONTRACTS, visit(1))
    assert ingest.ingest(workspace, CONTRACTS, visit(1)).counts.added == 1
    with monkeypatch.context() as broken:  # mutant: ids are kept before their commit
        broken.setattr(Gates, "land", _full)
        broken.setattr(table, "known", _shared())
        with pytest.raises(OSError, match="full"):
            ingest.ingest(workspace, CONTRACTS, visit(2))
    assert ingest.ingest(workspace, CONTRACTS, visit(2)).counts.added == 0


def _full(self: Gates, *given: Any, **named: Any) -> None:
    raise OSError("the disk is full")


def _shared() -> Callable[..., Any]:
    """Return the ids kept, to be added to by a run."""
    whole = table.known

    def known(place: Workspace, events: int | None, refused: int | None) -> Any:
        found = whole(place, events, refused)
        object.__setattr__(found, "events", committed.ids(place.tables, log.TABLE, events))
        return found

    return known


def test_a_large_log_is_not_kept(
    workspace: Workspace,
    visit: Callable[[int], pa.Table],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Above the limit the ids are read anew, and are all there."""
    monkeypatch.setattr(committed, "KEPT_MOST", 1)
    for number in range(3):
        ingest.ingest(workspace, CONTRACTS, visit(number))
        head = workspace.tables.head(log.TABLE)
        assert len(committed.ids(workspace.tables, log.TABLE, head)) == number + 1
    assert ingest.ingest(workspace, CONTRACTS, visit(1)).counts.known == 1
