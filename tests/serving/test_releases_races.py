"""Many move releases at once, and some are killed: one version is live at any time, and the history
tells how it came to be.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cluster.settings import ROOT
from cluster.workspace import Workspace
from serving.releases.release import Release, State
from serving.slots import releases as store
from serving.slots.releases import Kept
from tests.drills import mostly
from tests.serving import racing
from tests.serving.simulated_releases import BEGAN, BLUE

if TYPE_CHECKING:
    from cluster.errors import Refusal
    from cluster.settings import Settings

CLIENTS, MOVES = 8, 4  # that each makes
TRIES = 400  # at most, as others are often faster
KILLS, AT_ONCE = 20, 3  # processes


@pytest.fixture
def place(settings: Settings) -> Iterator[Workspace]:
    """Open a workspace in which BLUE answers."""
    with Workspace.open(settings, clock=lambda: BEGAN) as made:
        racing.opened(made)
        yield made


def _raced(place: Workspace, seed: int, put: racing.Put = store.put) -> list[tuple[int, str]]:
    """Let clients move at once; return what was seen meanwhile."""
    over, seen = threading.Event(), []

    def watch() -> None:
        while not over.is_set():
            seen.append(racing.at_once(place))

    def move(client: int) -> None:
        rng, made = random.Random(seed * CLIENTS + client), 0
        for _ in range(TRIES):
            made += isinstance(racing.moved(place, rng, put), Kept)
            if made == MOVES:
                return

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        watching = pool.submit(watch)
        try:
            list(pool.map(move, range(CLIENTS)))
        finally:
            over.set()
        watching.result()
    return [*seen, racing.at_once(place)]


@pytest.mark.parametrize("seed", mostly(range(50), 3))
def test_one_version_is_live_whoever_moves(place: Workspace, seed: int) -> None:
    """Epochs count up, each move is in the journal, and none is one that may not be."""
    seen = _raced(place, seed)
    assert racing.faults(place, seen) == []
    assert len(store.history(place, racing.TARGET)) == CLIENTS * MOVES


def test_whoever_expects_no_epoch_breaks_it(place: Workspace) -> None:
    """The mutant: what was decided of one release is put in place of whatever is there."""

    def careless(place: Workspace, after: Release, before: Kept | None, **said: Any) -> Any:
        fresh = store.current(place, racing.TARGET)
        as_if = replace(before, epoch=fresh.epoch) if before and fresh else fresh
        return store.put(place, after, as_if, **said)

    seen = _raced(place, 1, careless)
    assert racing.faults(place, seen) != []


@pytest.mark.drill
def test_the_killed_leave_nothing_half_done(place: Workspace) -> None:
    """SIGKILL at any moment of a move, while others go on."""
    chosen, count, over = random.Random(5), iter(range(KILLS)), threading.Event()

    def kill() -> None:
        for seed in count:
            command = [sys.executable, "-m", "tests.serving.child_mover"]
            given = [str(place.settings.home), str(seed)]
            with ExitStack() as held:
                child = subprocess.Popen([*command, *given], cwd=ROOT, stdout=subprocess.PIPE)
                held.callback(child.wait)
                held.callback(child.kill)
                assert child.stdout is not None
                held.callback(child.stdout.close)
                assert child.stdout.readline() == b"moved\n"
                over.wait(chosen.uniform(0.0, 0.3))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for each in [pool.submit(kill) for _ in range(AT_ONCE)]:
            each.result()
    assert racing.faults(place, _raced(place, 9)) == []
    assert len(store.history(place, racing.TARGET)) >= KILLS + CLIENTS * MOVES


def _put(place: Workspace, after: Release | Refusal, before: Kept | None) -> Kept:
    assert isinstance(after, Release), str(after)
    kept = store.put(place, after, before, **racing.SAID)
    assert isinstance(kept, Kept), str(kept)
    return kept


def _promoted(place: Workspace, name: str, before: Kept | None) -> Kept:
    """Bring a new version to all, step by step."""
    at = _put(place, racing.started(place, before, name), before)
    while at.release.state != State.PROMOTED:
        is_asked = at.release.state == State.AWAITING
        on = at.release.approved if is_asked else at.release.advanced
        at = _put(place, on("well", BEGAN), at)
    return at


def test_what_was_called_off_may_be_tried_again(place: Workspace) -> None:
    """And is live in the end."""
    first = _put(place, racing.started(place, None, "one"), None)
    off = _put(place, first.release.aborted("too early"), first)
    assert racing.at_once(place) == (off.epoch, BLUE.model)
    live = _promoted(place, "again", off)
    assert racing.at_once(place) == (live.epoch, live.release.candidate.model)
    assert racing.faults(place) == []


def test_a_bad_stable_version_is_left_behind(place: Workspace) -> None:
    """It is undone after it was promoted, and the next begins from what was before it."""
    bad = _promoted(place, "bad", None)
    undone = _put(place, bad.release.rolled_back("complaints"), bad)
    assert racing.at_once(place) == (undone.epoch, BLUE.model)
    good = _promoted(place, "good", undone)
    assert good.release.stable == BLUE
    assert racing.at_once(place) == (good.epoch, good.release.candidate.model)
    assert racing.faults(place) == []
