"""Clients that move releases at once, and what must hold of the history they leave."""

from __future__ import annotations

import hashlib
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cluster.errors import FunnelcastError, Refusal
from serving.registry import alias
from serving.releases.plan import Step
from serving.releases.release import Release, State, begin
from serving.slots import following, policies
from serving.slots import releases as store
from serving.slots.releases import Kept
from tests.serving.simulated_releases import BEGAN, BLUE, release

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from cluster.workspace import Workspace

TARGET, POLICY = "lead_qualification", "lead_routing"
PLAN = release().plan.model_copy(
    update={"steps": (Step(weight=5.0), Step(weight=50.0, approval=True), Step(weight=100.0))}
)
SAID: Any = {"actor": "ada", "reason": "a race", "now": BEGAN}
THINKING_S = 0.002  # at most, between a look and a move
ENDS = frozenset({State.ROLLED_BACK, State.ABORTED})
STOPS = frozenset({State.PAUSED, State.HELD})

type Put = Callable[..., Kept | Refusal]


def opened(place: Workspace) -> None:
    """Let BLUE answer in an empty workspace."""
    for name, to in ((alias(TARGET), BLUE.model), (policies.ref_of(POLICY), BLUE.policy)):
        assert not isinstance(place.refs.move(name, to=to, expect_epoch=0, **SAID), Refusal)


def moved(place: Workspace, rng: Random, put: Put = store.put) -> Kept | Refusal:
    """Look, think, and move: what one client does once, whatever others do meanwhile."""
    before = store.current(place, TARGET)
    after = _chosen(place, before, rng)
    time.sleep(rng.uniform(0, THINKING_S))
    return after if isinstance(after, Refusal) else put(place, after, before, **SAID)


def _chosen(place: Workspace, before: Kept | None, rng: Random) -> Release | Refusal:
    """Return what a client would have: anything, mostly onwards."""
    if before is None or (not before.release.is_open and rng.random() < 0.7):
        return started(place, before, f"{rng.getrandbits(64):x}")
    at = before.release
    every = (
        *[lambda: at.advanced("well", BEGAN), lambda: at.approved("yes", BEGAN)] * 4,
        *[lambda: at.resumed("on", BEGAN)] * 2,
        *[lambda: at.paused("lunch"), lambda: at.held("hm")],
        *[lambda: at.aborted("no"), lambda: at.rolled_back("no")],
        lambda: started(place, before, f"{rng.getrandbits(64):x}"),
    )
    return rng.choice(every)()


def started(place: Workspace, before: Kept | None, name: str) -> Release | Refusal:
    """Begin a release of a version that nobody has seen."""
    stable = store.answering(place.refs, TARGET, POLICY, BLUE.views)
    if isinstance(stable, Refusal):
        return stable
    new = {"model": hashlib.sha256(name.encode()).hexdigest()}
    return begin(
        id=f"r-{name}", target=TARGET, policy=POLICY, plan=PLAN, salt=name, stable=stable,
        candidate=stable.model_copy(update=new), before=before.release if before else None,
        why="a race", now=BEGAN,
    )  # fmt: skip


def at_once(place: Workspace) -> tuple[int, str]:
    """Return the epoch of the release and the live model, of one moment."""
    refs = following.look(place.database, (store.ref_of(TARGET), alias(TARGET)))
    at = refs.get(store.ref_of(TARGET))
    return at.epoch if at else 0, refs[alias(TARGET)].target


def faults(place: Workspace, seen: Sequence[tuple[int, str]] = ()) -> list[str]:
    """Return what is wrong with the releases of a workspace, and with what was seen meanwhile."""
    try:
        kept = store.history(place, TARGET)
    except FunnelcastError as error:
        return [str(error)]
    entries = {entry.id for entry in place.journal.entries(store.KIND)}
    live = _live([each.release for each in kept])
    told = [
        (kept and [k.epoch for k in kept] != [*range(1, len(kept) + 1)], "epochs do not count"),
        (entries != {f"release:{TARGET}:{k.epoch}" for k in kept}, "moves are not the entries"),
        (not place.journal.verify(), "the journal is broken"),
        (_models(place) != _changes(live), "the live model moved otherwise than releases"),
        (any(live[epoch] != model for epoch, model in seen), "two versions were live at once"),
    ]
    steps = pairwise([None, *(each.release for each in kept)])
    wrong = [
        f"{_said(one)} to {_said(two)}"
        for n, (one, two) in enumerate(steps)
        if two and not _may(one, two, live[n])
    ]
    return [why for is_wrong, why in told if is_wrong] + wrong


def _live(kept: Sequence[Release]) -> list[str]:
    """Return the model that answers after each move, first before any."""
    live = [BLUE.model]
    for one, two in pairwise([None, *kept]):
        is_back = one is not None and one.state == State.PROMOTED and two.state in ENDS
        forth = two.candidate.model if two.state == State.PROMOTED else live[-1]
        live.append(two.stable.model if is_back else forth)
    return live


def _changes(live: Sequence[str]) -> list[str]:
    return [live[0], *(two for one, two in pairwise(live) if one != two)]


def _models(place: Workspace) -> list[str]:
    return [ref.target for ref in place.refs.history(alias(TARGET))]


def _may(one: Release | None, two: Release, live: str) -> bool:
    """May this release follow that one? Written without the methods that make them."""
    if one is None or one.id != two.id:
        is_over = one is None or one.state in {State.PROMOTED, *ENDS}
        is_first = (two.state, two.step, two.stable.model) == (State.RUNNING, 0, live)
        return is_over and is_first
    said, up = (one.state, two.state), two.step - one.step
    if two.state in ENDS:
        return up == 0 and one.state not in ENDS and said != (State.PROMOTED, State.ABORTED)
    if said == (State.RUNNING, State.RUNNING):
        return up == 1 and not two.plan.steps[two.step].approval
    if said == (State.AWAITING, State.RUNNING):
        return up == 1
    if said == (State.RUNNING, State.PROMOTED):
        return up == 0 and two.step == len(two.plan.steps) - 1
    if said == (State.RUNNING, State.AWAITING):
        return up == 0 and two.plan.steps[two.step + 1].approval
    onto = one.state in STOPS and two.state == State.RUNNING
    return up == 0 and (onto or (one.state == State.RUNNING and two.state in STOPS))


def _said(one: Release | None) -> str:
    return f"{one.id} {one.state} at {one.step}" if one else "nothing"
