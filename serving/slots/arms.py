"""From the release of a target to the arms that a replica draws from: its slots loaded and warm, or
the reason why one is not taken. What is in memory already is not loaded again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import FunnelcastError, Refusal
from serving.releases.evidence import CANDIDATE
from serving.releases.release import Parts, State
from serving.slots import crashes, policies, releases
from serving.slots.active import Arms
from serving.slots.elsewhere import NotYet
from serving.slots.inflight import Mark, during
from serving.slots.slot import Slot, admitted
from serving.slots.trial import AWAY, tried

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.refs import Ref
    from cluster.workspace import Workspace
    from serving.model import Model
    from serving.policy import Policy
    from serving.releases.release import Release
    from serving.slots.elsewhere import Apart
    from serving.slots.following import Followed
    from serving.slots.inflight import Marks

NOWHERE = Refusal(
    rule="a candidate with replicas of its own must be asked through Ray Serve",
    value="a service without it",
    remedy="start it with python -m serving",
)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What became of a release here."""

    arms: Arms | None
    warm: tuple[Slot, ...] = ()  # to go back to, or on to
    why: str = ""  # the candidate is not taken
    is_waiting: bool = False  # for where it decides: it may be taken later


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Makes slots from parts; takes models and policies from the slots that are loaded."""

    workspace: Workspace
    followed: Followed
    loaded: Sequence[Slot]
    marks: Marks | None = None
    apart: Apart | None = None  # finds where a candidate of its own replicas decides

    def model(self, id: str) -> Model | Refusal:
        """Return a model that fits, admitted now or before."""
        mine = [slot for slot in self.loaded if slot.target == self.followed.target]
        known = (slot.model for slot in mine if slot.basis.model == id)
        return next(known, None) or admitted(self.workspace, self.followed.target, id)

    def policy(self, digest: str) -> Policy | Refusal:
        """Return a policy that was published."""
        known = (slot.policy for slot in self.loaded if digest_of(slot.policy) == digest)
        found = next(known, None)
        return found or policies.read(self.workspace, self.followed.policy, digest)

    def slot(self, parts: Parts, mark: Mark | None = None) -> Slot | Refusal:
        """Return a slot that answers, or why there is none; its trial is marked."""
        model, policy = self.model(parts.model), self.policy(parts.policy)
        for found in (model, policy):
            if isinstance(found, Refusal):
                return found
        made = Slot.of(
            self.followed.target,
            self.followed.program,
            (parts.model, model),  # type: ignore[arg-type]
            policy,  # type: ignore[arg-type]
        )
        same = next((slot for slot in self.loaded if slot == made), None)
        if same is not None:
            return same.here
        with during(self.marks, mark):
            why = tried(made)
        return made if why is None else why

    def placed(self, slot: Slot, release: Release) -> Slot | Refusal:
        """Return the candidate of a release where it decides."""
        if not release.plan.isolated:
            return slot
        there = NOWHERE if self.apart is None else self.apart(release)
        return there if isinstance(there, Refusal) else replace(slot, elsewhere=there)


def drawn(loader: Loader, ref: Ref) -> Drawn:
    """Return the arms of the release that a ref names, if it is under way. Raises AWAY."""
    try:
        release = releases.of_ref(loader.workspace, ref).release
    except FunnelcastError as error:
        return Drawn(arms=None, why=str(error))
    if release.is_open:
        return _open(loader, release, ref)
    return Drawn(arms=None, warm=_kept(loader, release))


def digest_of(policy: Policy) -> str:
    """Return the name of a policy's blob."""
    return canonical.digest(policy.document)


def _open(loader: Loader, release: Release, ref: Ref) -> Drawn:
    crashed = crashes.unheard(loader.workspace, release, ref)
    loaded: Slot | Refusal | None = crashed
    if loaded is None:
        loaded = loader.slot(release.candidate, _mark(release, ref, CANDIDATE))
    candidate = loader.placed(loaded, release) if isinstance(loaded, Slot) else loaded
    others = enumerate(release.shadows if crashed is None else (), start=1)
    shadows = [loader.slot(parts, _mark(release, ref, f"shadow-{n}")) for n, parts in others]
    made = Arms(
        release=release.id,
        epoch=ref.epoch,
        step=release.step,
        salt=release.salt,
        places=release.places,
        mirror=release.mirror,
        candidate=candidate if isinstance(candidate, Slot) else None,
        shadows=tuple(found for found in shadows if isinstance(found, Slot)),
        pilot=release.plan.pilot,
    )
    if isinstance(candidate, Slot):
        return Drawn(arms=made)
    warm = (loaded,) if isinstance(loaded, Slot) else ()  # it is not loaded again
    return Drawn(arms=made, warm=warm, why=str(candidate), is_waiting=isinstance(candidate, NotYet))


def _mark(release: Release, ref: Ref, arm: str) -> Mark:
    return Mark(target=release.target, release=release.id, epoch=ref.epoch, arm=arm)


def _kept(loader: Loader, release: Release) -> tuple[Slot, ...]:
    """Return what a promoted release may go back to, so that going back reads no artefact; nothing
    where another answers by now, or what was there is neither in memory nor to be had.
    """
    answers = (release.candidate.model, release.candidate.policy)
    here = {(slot.basis.model, digest_of(slot.policy)) for slot in loader.loaded}
    if release.state != State.PROMOTED or answers not in here:
        return ()
    try:
        found = loader.slot(release.stable)
    except AWAY:
        return ()
    return (found,) if isinstance(found, Slot) else ()
