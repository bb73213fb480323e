"""Levers that the log, or what was learnt from it, is against: told before anything runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.effects import definition
from serving.simulations import courses, estimates
from serving.simulations.service import Simulations
from tests.jobs.test_simulate_known import document
from tests.serving import asking
from tests.serving.asking import LEVER, request, scenario

if TYPE_CHECKING:
    from pathlib import Path

LONG_AGO = datetime(2025, 1, 6, tzinfo=UTC)
WHY = "logged propensities must fit the arms"
ESTIMATED = request(scenario(levers=[{**LEVER, "effect": "estimated"}]))


@pytest.fixture
def place(tmp_path: Path) -> Any:
    """A workspace whose log holds a small company, with lots of outreach."""
    with Workspace.open(Settings(home=tmp_path / "home", buckets=4)) as opened:
        asking.fill(opened)
        yield opened


def _learnt(place: Workspace, epoch: int, **changes: Any) -> None:
    blob = document(learnt_at=LONG_AGO, **changes).blob
    said: Any = {"now": place.clock(), "actor": "test", "reason": "newer"}
    name = definition.ref("sales", "outreach")
    assert place.refs.move(name, to=place.blobs.put(blob), expect_epoch=epoch, **said)


def test_what_was_refused_is_refused_whatever_the_lots_say(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason; where nothing was learnt, the lots answer. Mutant: ask the lots alone."""
    simulations = Simulations(place, asking.Cluster())
    assert simulations.checked(ESTIMATED) is None
    _learnt(place, 0, grade=None, refused=WHY, causes={})
    found = str(simulations.checked(ESTIMATED))
    assert f"got 'outreach', refused: {WHY}: do as it says" in found and "\n" not in found
    with monkeypatch.context() as patched:
        patched.setattr(estimates, "learnt", lambda *_: None)
        assert simulations.checked(ESTIMATED) is None
    _learnt(place, 1)
    assert simulations.checked(ESTIMATED) is None


def test_what_cannot_be_read_is_left_to_the_job(place: Workspace) -> None:
    """A document that is lost, or of another form, is no fault of who asks."""
    said: Any = {"now": place.clock(), "actor": "test", "reason": "newer"}
    name = definition.ref("sales", "outreach")
    for epoch, target in enumerate(("0" * 64, place.blobs.put(b"{}"))):
        assert place.refs.move(name, to=target, expect_epoch=epoch, **said)
        assert Simulations(place, asking.Cluster()).checked(ESTIMATED) is None


def test_lots_that_say_too_little_are_told(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by the job; what was learnt needs none. A log that is too long is left to the job."""
    monkeypatch.setattr(estimates.effect, "LEAST_FORWARD", 10**6)
    found = str(Simulations(place, asking.Cluster()).checked(ESTIMATED))
    assert "lever 1: " in found and "leads in each arm that went forward" in found
    with monkeypatch.context() as patched:
        patched.setattr(courses, "MOST_EVENTS", 0)
        assert Simulations(place, asking.Cluster()).checked(ESTIMATED) is None
    _learnt(place, 0)
    assert Simulations(place, asking.Cluster()).checked(ESTIMATED) is None
