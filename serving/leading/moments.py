"""What was live when: at any moment the model and policy that answered, and their shares, from the
histories of refs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.registry import alias
from serving.releases.assignment import PLACES
from serving.releases.evidence import CANDIDATE, STABLE
from serving.slots import policies, releases

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cluster.refs import Ref
    from cluster.workspace import Workspace
    from serving.releases.release import Release


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What answered, or decided unseen, at a moment."""

    arm: str
    model: str | None  # None: nothing was published
    policy: str | None  # digest
    share: float  # of the accounts, 0 to 1
    mirror: float  # of the other decisions, that it made unseen


@dataclass(frozen=True, kw_only=True)
class Live:
    """What was live at a moment."""

    at: datetime
    release: str | None  # id of the newest by then; None: none had begun
    state: str | None
    step: int | None
    arms: tuple[Arm, ...]


def live(workspace: Workspace, target: str, policy: str, at: datetime) -> Live:
    """Return what was live for a target at a moment. `policy` is the name of what it followed."""
    ref = _then(workspace, releases.ref_of(target), at)
    release = None if ref is None else releases.of_ref(workspace, ref).release
    return Live(
        at=at,
        release=release.id if release else None,
        state=release.state.value if release else None,
        step=release.step if release else None,
        arms=tuple(_arms(workspace, target, release, policy, at)),
    )


def _arms(
    workspace: Workspace, target: str, release: Release | None, policy: str, at: datetime
) -> Iterator[Arm]:
    model = _then(workspace, alias(target), at)
    rules = _then(workspace, policies.ref_of(release.policy if release else policy), at)
    is_open = release is not None and release.is_open
    share = release.places / PLACES if release and is_open else 0.0
    yield Arm(
        arm=STABLE,
        model=model.target if model else None,
        policy=rules.target if rules else None,
        share=1.0 - share,
        mirror=0.0,
    )
    if release and is_open:
        made, mirror = release.candidate, release.mirror
        yield Arm(arm=CANDIDATE, model=made.model, policy=made.policy, share=share, mirror=mirror)


def _then(workspace: Workspace, name: str, at: datetime) -> Ref | None:
    """Return where a ref pointed at a moment."""
    before = [ref for ref in workspace.refs.history(name) if ref.moved_at <= at]
    return before[-1] if before else None
