"""`python -m jobs.compact`: what it does and what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cluster.errors import WrongUse
from cluster.settings import CONFIGS
from features import log, online
from features.arrivals import Entrance, Sent
from features.arrivals.wire import Data
from features.contracts import load_contracts
from jobs import console
from jobs.compact.run import JOB, CompactSettings

if TYPE_CHECKING:
    from cluster.workspace import Workspace


def _quiet(done: int, total: int, what: str) -> None:
    pass


def _accept(workspace: Workspace, count: int, request: int) -> None:
    contracts = load_contracts(CONFIGS / "contracts")
    sent = [
        Sent(
            id=f"{request}-{n}",
            source="/test",
            kind="touch",
            name="web_visit",
            time=datetime(2026, 1, 1, tzinfo=UTC),
            data=Data(lead=f"lead-{n}"),
            raw=b"{}",
        )
        for n in range(count)
    ]
    Entrance(workspace, online.OnlineStore(workspace), contracts).accept(sent)


def test_it_folds_merges_and_reports(workspace: Workspace) -> None:
    """Three rounds of arrivals; the last run merges what the rounds have left."""
    for request, most in enumerate((8, 8, 1)):
        _accept(workspace, 30, request)
        done = console.perform(JOB, CompactSettings(most_files=most), workspace, _quiet)
        assert done.report["figures"]["folded"] == 30
    figures = done.report["figures"]
    assert (figures["files_before"], figures["files_after"]) == (12, 4)
    assert workspace.tables.read(log.TABLE).num_rows == 90


def test_it_is_done_again_each_time(workspace: Workspace) -> None:
    """With nothing to do it changes nothing, and says so."""
    _accept(workspace, 5, 0)
    console.perform(JOB, CompactSettings(), workspace, _quiet)
    head = workspace.tables.head(log.TABLE)
    again = console.perform(JOB, CompactSettings(), workspace, _quiet)
    assert (again.unchanged, again.report["figures"]["folded"]) == (False, 0)
    assert workspace.tables.head(log.TABLE) == head


@pytest.mark.parametrize("wrong", [{"most_files": 0}, {"age_hours": 0}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    """With the flag and what it must be."""
    with pytest.raises(WrongUse, match="must be at least 1, got 0"):
        CompactSettings(**wrong)
