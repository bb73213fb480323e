"""Releases are kept whole: a ref, an entry of the journal, and what follows move together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cluster.errors import Refusal
from cluster.refs import Refs
from cluster.workspace import Workspace
from serving.registry import alias
from serving.releases.release import Release, State
from serving.slots import policies
from serving.slots import releases as store
from serving.slots.releases import Kept
from tests.serving.simulated_releases import BEGAN, BLUE, GREEN, release

if TYPE_CHECKING:
    from cluster.settings import Settings

TARGET = "lead_qualification"
SAID: Any = {"actor": "ada", "reason": "a test", "now": BEGAN}
LAST = release(step=5)  # all is the candidate's


@pytest.fixture
def there(settings: Settings) -> Iterator[Workspace]:
    """Open a workspace in which BLUE answers."""
    with Workspace.open(settings, clock=lambda: BEGAN) as opened:
        refs = opened.refs
        for name, to in (
            (alias(TARGET), BLUE.model),
            (policies.ref_of("lead_routing"), BLUE.policy),
        ):
            assert not isinstance(refs.move(name, to=to, expect_epoch=0, **SAID), Refusal)
        yield opened


def _put(there: Workspace, after: Release | Refusal, before: Kept | None = None) -> Kept:
    assert isinstance(after, Release)
    found = store.put(there, after, before, **SAID)
    assert isinstance(found, Kept), str(found)
    return found


def _live(there: Workspace) -> str:
    ref = there.refs.get(alias(TARGET))
    assert ref is not None
    return ref.target


def test_a_release_is_read_back_after_each_move(there: Workspace) -> None:
    """The newest, and all of them; each move is in the journal, which verifies."""
    assert store.current(there, TARGET) is None
    first = _put(there, release())
    second = _put(there, first.release.advanced("well", BEGAN + timedelta(hours=1)), first)
    assert store.current(there, TARGET) == second
    assert store.history(there, TARGET) == [first, second]
    assert (second.epoch, second.release.step, second.release.places) == (2, 1, 100)
    assert len(list(there.journal.entries(store.KIND))) == 2
    assert there.journal.verify()
    assert _live(there) == BLUE.model


def test_promoted_is_one_move_and_so_is_its_undoing(there: Workspace) -> None:
    """The live model follows in the same transaction; nobody sees one without the other."""
    at = _put(there, LAST)
    promoted = _put(there, at.release.advanced("well", BEGAN), at)
    assert (promoted.release.state, _live(there)) == (State.PROMOTED, GREEN.model)
    undone = _put(there, promoted.release.rolled_back("a complaint"), promoted)
    assert (undone.release.state, _live(there)) == (State.ROLLED_BACK, BLUE.model)


def test_who_moved_what_answers_meanwhile_is_not_overrun(there: Workspace) -> None:
    """Promotion is refused, and nothing at all has moved."""
    at = _put(there, LAST)
    other = {"to": "c" * 64, "expect_epoch": 1, **SAID}
    assert not isinstance(there.refs.move(alias(TARGET), **other), Refusal)
    promoted = at.release.advanced("well", BEGAN)
    assert isinstance(promoted, Release)
    refused = store.put(there, promoted, at, **SAID)
    assert isinstance(refused, Refusal)
    assert "must be what the release r1 found, bbbbbbbbbbbb, got cccccccccccc" in str(refused)
    assert (store.current(there, TARGET), _live(there)) == (at, "c" * 64)


def test_of_several_movers_one_wins(there: Workspace) -> None:
    """A judge that goes on and a person who rolls back, at once; whoever loses looks again."""
    at = _put(there, LAST)
    steps = [at.release.advanced("well", BEGAN), at.release.rolled_back("no")] * 4

    def move(after: Release | Refusal) -> bool:
        assert isinstance(after, Release)
        return isinstance(store.put(there, after, at, **SAID), Kept)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(move, steps))
    assert sum(won) == 1
    found = store.current(there, TARGET)
    assert found is not None
    live = GREEN.model if found.release.state == State.PROMOTED else BLUE.model
    assert (found.epoch, _live(there)) == (2, live)


def test_without_the_epoch_two_win(there: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: a ref that moves from whatever it is at."""
    at = _put(there, release())
    undone = at.release.rolled_back("no")
    lost = Kept(**{**vars(_put(there, undone, at)), "epoch": 1})
    assert isinstance(store.put(there, release(), lost, **SAID), Refusal)
    honest = Refs.move_all

    def careless(self: Refs, moves: Any, **said: Any) -> Any:
        real = [self.get(move.name) for move in moves]
        there = [
            replace(m, expect_epoch=r.epoch if r else 0) for m, r in zip(moves, real, strict=True)
        ]
        return honest(self, there, **{**said, "witness": None})

    monkeypatch.setattr(Refs, "move_all", careless)
    assert isinstance(store.put(there, release(), lost, **SAID), Kept)


def test_what_answers_is_named(there: Workspace) -> None:
    """And what is missing."""
    found = store.answering(there.refs, TARGET, "lead_routing", BLUE.views)
    assert found == BLUE
    missing = store.answering(there.refs, "opportunity_win", "deal_routing", {})
    assert isinstance(missing, Refusal)
    assert "models/opportunity_win/stable" in str(missing)


def test_a_ref_without_its_entry_is_an_error(there: Workspace) -> None:
    """Somebody wrote past the store."""
    moved = there.refs.move(store.ref_of(TARGET), to="nothing", expect_epoch=0, **SAID)
    assert not isinstance(moved, Refusal)
    with pytest.raises(store.ReleaseMissing, match="got 'nothing'"):
        store.current(there, TARGET)
