"""What a candidate that kills processes costs it: with the first process it is held, and taken by
no replica until a person resumes it; with the second it is rolled back.

A process that was killed from outside within a call of the candidate looks the same. One such must
not undo a good release, and nothing is lost by holding it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from cluster.errors import FunnelcastError, Refusal
from serving.releases.release import Release, State
from serving.slots import inflight, releases
from serving.slots.releases import Note

if TYPE_CHECKING:
    from cluster.refs import Ref
    from cluster.workspace import Workspace
    from serving.slots.inflight import Left, Mark
    from serving.slots.releases import Kept

KIND = "release.crashed"  # of a journal entry
ACTOR = "service"
MOST = 2  # processes that a release may cost before it is rolled back
TRIES = 5  # of a move that others may make at once


def tell(workspace: Workspace) -> None:
    """Journal what processes that are gone died in, and stop those releases. Raises AWAY."""
    for left in inflight.left(workspace.settings.home):
        for mark in _once(left):
            _tell(workspace, mark, f"{KIND}:{mark.target}:{mark.release}:{left.process}")
        left.forget()  # now, so that no crash is forgotten if this process dies too


def unheard(workspace: Workspace, release: Release, ref: Ref) -> Refusal | None:
    """Return why a release is not taken: processes died of it since a person let it run."""
    told = _told(workspace, release.target, release.id)
    if not told:
        return None
    moves = workspace.refs.history(ref.name)
    later = [releases.of_ref(workspace, each) for each in moves if each.epoch > max(told)]
    if any(kept.release.state == State.RUNNING for kept in later):
        return None
    return Refusal(
        rule=f"calls of the candidate of release {release.id} must leave the process alive",
        value=f"{len(told)} that ended within one",
        remedy="resume the release if they were killed from outside, else roll it back",
    )


def _once(left: Left) -> list[Mark]:
    """Return one mark of each release: a process dies once."""
    return list({(mark.target, mark.release): mark for mark in left.calls}.values())


def _told(workspace: Workspace, target: str, release: str) -> list[int]:
    """Return the epochs of the release's ref that followed from its crashes."""
    bodies = (entry.body for entry in workspace.journal.entries(KIND))
    return [b["since"] for b in bodies if (b["target"], b["release"]) == (target, release)]


def _tell(workspace: Workspace, mark: Mark, id: str) -> None:
    """Journal a crash, once, with the move that follows from it."""
    for _ in range(TRIES):
        if workspace.journal.get(id) is not None:
            return
        kept = _current(workspace, mark)
        count = len(_told(workspace, mark.target, mark.release)) + 1
        after = None if kept is None else _stopped(kept.release, count)
        if after is None or kept is None:
            break
        if not isinstance(_put(workspace, after, kept, mark, id), Refusal):
            return
    body = {**asdict(mark), "since": mark.epoch, "actor": ACTOR, "reason": "nothing to stop"}
    workspace.journal.record(KIND, body, id=id, now=workspace.clock())


def _current(workspace: Workspace, mark: Mark) -> Kept | None:
    """Return the release as it is; None if another is, or one that this code cannot read."""
    try:
        kept = releases.current(workspace, mark.target)
    except FunnelcastError:
        return None
    return kept if kept is not None and kept.release.id == mark.release else None


def _stopped(release: Release, count: int) -> Release | None:
    """Return a release after as many crashes; None if it is over, or answers all already.

    One that stands as it is moves too: by that every replica hears of it.
    """
    why = f"{count} process{'es' * (count > 1)} ended within a call of its candidate"
    if count >= MOST:
        moved = release.rolled_back(why)
    elif release.state == State.RUNNING:
        moved = release.held(why)
    elif release.is_open:
        moved = release.model_copy(update={"why": why})
    else:
        return None
    return None if isinstance(moved, Refusal) else moved


def _put(workspace: Workspace, after: Release, kept: Kept, mark: Mark, id: str) -> Kept | Refusal:
    return releases.put(
        workspace,
        after,
        kept,
        actor=ACTOR,
        reason=after.why,
        now=workspace.clock(),
        note=Note(id=id, kind=KIND, body={**asdict(mark), "since": kept.epoch + 1}),
    )
