"""A slot renewed: what moved is loaded, admitted and warmed; what cannot be taken is refused, and
what there was goes on as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from cluster.errors import FunnelcastError, Refusal
from features.views import document, register, view
from serving.policy import Policy
from serving.slots import arms
from serving.slots.active import Refused
from serving.slots.arms import digest_of
from serving.slots.slot import Slot, no_model
from serving.slots.trial import tried

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from cluster.refs import Ref
    from cluster.workspace import Workspace
    from serving.model import Model
    from serving.slots.active import Arms
    from serving.slots.elsewhere import Apart
    from serving.slots.following import Followed
    from serving.slots.inflight import Marks

type Named = tuple[str, Model]  # id and model


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """What became of a slot."""

    slot: Slot | None
    missing: str  # why there is none
    refused: tuple[Refused, ...]  # of what it follows
    arms: Arms | None = None  # of the release under way
    warm: tuple[Slot, ...] = ()  # to go back to, or on to
    is_waiting: bool = False  # for where the candidate decides


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """What one kind of entity follows, where that points now, and what was taken before."""

    workspace: Workspace
    followed: Followed
    refs: Mapping[str, Ref]
    old: Slot | None
    loaded: tuple[Slot, ...] = ()  # all that are in memory
    epochs: Mapping[str, int]  # of the refs that were looked at before
    refused: Mapping[str, Refused]  # before, by name of the ref
    now: datetime
    marks: Marks | None = None
    apart: Apart | None = None  # finds where a candidate of its own replicas decides

    def run(self) -> Renewed:
        """Load what moved, and take of it what fits and answers. Raises AWAY."""
        new = dict(self._new())
        slot, why = self._best(new)
        used = () if slot is None else (slot.basis.model, slot.policy)
        whys = {ref.name: _why(found, why, used) for ref, found in new.values()}
        refused = [self._refused(self.refs[name], why) for name, why in whys.items() if why]
        refused += [*self._known(), *self._views()]
        drawn = self._drawn(slot, refused)
        return Renewed(
            slot=slot,
            missing=self._missing(slot, refused),
            refused=tuple(refused),
            arms=drawn.arms,
            warm=drawn.warm,
            is_waiting=drawn.is_waiting,
        )

    @property
    def _loader(self) -> arms.Loader:
        return arms.Loader(
            workspace=self.workspace,
            followed=self.followed,
            loaded=self.loaded,
            marks=self.marks,
            apart=self.apart,
        )

    def _drawn(self, slot: Slot | None, refused: list[Refused]) -> arms.Drawn:
        """Return the arms of the release under way; a candidate that is not taken is refused."""
        ref = self.refs.get(self.followed.release_ref)
        if slot is None or ref is None:
            return arms.Drawn(arms=None)
        loader = replace(self._loader, loaded=(*self.loaded, slot))
        drawn = arms.drawn(loader, ref)
        if drawn.why:
            refused.append(self._refused(ref, drawn.why))
        return drawn

    def _new(self) -> Iterator[tuple[str, tuple[Ref, Any]]]:
        """Yield what was not looked at before: the ref, and what it names or why not."""
        for name, load, held in (
            (self.followed.model_ref, self._model, self.old and self.old.basis.model),
            (self.followed.policy_ref, self._policy, self.old and digest_of(self.old.policy)),
        ):
            ref = self.refs.get(name)
            if ref is not None and ref.target != held and not self._is_known(ref):
                yield name, (ref, load(ref.target))

    def _model(self, id: str) -> Named | Refusal:
        found = self._loader.model(id)
        return found if isinstance(found, Refusal) else (id, found)

    def _policy(self, digest: str) -> Policy | Refusal:
        return self._loader.policy(digest)

    def _best(self, new: Mapping[str, tuple[Ref, Any]]) -> tuple[Slot | None, Refusal | None]:
        """Return the slot with most of what is new that answers, and why it is not with all."""
        old = self.old
        models = self._either(new, self.followed.model_ref, old and (old.basis.model, old.model))
        rules = self._either(new, self.followed.policy_ref, old and old.policy)
        first: Refusal | None = None
        for model, policy in product(models, rules):
            if old and model[1] is old.model and policy is old.policy:
                break
            slot = Slot.of(self.followed.target, self.followed.program, model, policy)
            why = tried(slot)
            if why is None:
                return slot, first
            first = why if first is None else first
        return old, first

    def _either(self, new: Mapping[str, tuple[Ref, Any]], name: str, held: Any) -> list[Any]:
        """Return what is new and was not refused, then what was there."""
        found = [new[name][1]] if name in new else []
        both = [*found, *([held] if held else [])]
        return [each for each in both if not isinstance(each, Refusal)]

    def _is_known(self, ref: Ref) -> bool:
        known = self.refused.get(ref.name)
        return known is not None and known.epoch == ref.epoch

    def _known(self) -> Iterator[Refused]:
        """Yield what was refused before and is named still."""
        for name in (self.followed.model_ref, self.followed.policy_ref, *self.followed.view_refs):
            if name in self.refs and self._is_known(self.refs[name]):
                yield self.refused[name]

    def _views(self) -> Iterator[Refused]:
        """Yield the views whose definition on record is not the one at hand, which is computed."""
        for name in self.followed.target.views:
            ref = self.refs.get(register.PREFIX + name)
            if ref is None or self.epochs.get(ref.name) == ref.epoch:
                continue  # looked at before; what was refused is yielded as known
            why = self._unlike(name, ref)
            if why is not None:
                yield self._refused(ref, str(why))

    def _unlike(self, name: str, ref: Ref) -> Refusal | None:
        try:
            version, found = document.read(self.workspace.blobs.get(ref.target))
        except FunnelcastError as error:
            version, found = str(error), None
        if found == view(name):
            return None
        return Refusal(
            rule=f"the view '{name}' on record must be the one at hand, {view(name).version}",
            value=version,
            remedy="run the service with the code that made it",
        )

    def _refused(self, ref: Ref, why: str) -> Refused:
        known = self.refused.get(ref.name)
        if known is not None and (known.epoch, known.why) == (ref.epoch, why):
            return known  # since then
        return Refused(what=ref.name, target=ref.target, epoch=ref.epoch, why=why, since=self.now)

    def _missing(self, slot: Slot | None, refused: list[Refused]) -> str:
        if slot is not None:
            return ""
        if self.followed.model_ref not in self.refs:
            return str(no_model(self.followed.target))
        return "; ".join(each.why for each in refused) or "no policy is published"


def _why(found: Named | Policy | Refusal, why: Refusal | None, used: tuple[object, ...]) -> str:
    """Return why what was loaded is not taken; empty if it is, or only waits for its other half."""
    if isinstance(found, Refusal):
        return str(found)
    id = found if isinstance(found, Policy) else found[0]
    return "" if why is None or id in used else str(why)
