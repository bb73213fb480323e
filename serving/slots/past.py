"""A slot under the versions of an old decision, to make that decision again.

Everything is found by id: the model and the policy as they were kept, the target as the bundle of
the model declares it, and a view that is no longer at hand as the register kept it. What is gone
is named; code that is another is no reason to refuse, but is told.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cluster import canonical
from cluster.errors import FunnelcastError, Refusal
from features.compute.program import compiled
from features.targets import Target
from features.views import VIEWS, register
from features.views.language import Events
from serving.registry import Registry
from serving.slots import policies
from serving.slots.slot import Slot, code, digest

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.views.language import View
    from serving.bundle import Manifest
    from serving.decide import Basis
    from serving.model import Model

MOST = 8  # slots that are kept


@dataclass(frozen=True, kw_only=True)
class Past:
    """A slot that answers as it did, and what is otherwise than it was."""

    slot: Slot
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Kept:
    past: Past
    blobs: tuple[str, ...]  # that it was made from


class _Cache:
    """The slots used last, while everything that they were made from is there."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, Basis], _Kept] = OrderedDict()
        self._lock = Lock()

    def get(self, workspace: Workspace, basis: Basis) -> Past | None:
        key = _place(workspace, basis)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            self._kept.move_to_end(key)
        return kept.past if all(map(workspace.blobs.has, kept.blobs)) else None

    def put(self, workspace: Workspace, basis: Basis, kept: _Kept) -> None:
        with self._lock:
            self._kept[_place(workspace, basis)] = kept
            self._kept.move_to_end(_place(workspace, basis))
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)


_CACHE = _Cache()


def slot_of(workspace: Workspace, basis: Basis) -> Past | Refusal:
    """Return the slot that decided on a basis; a Refusal names the first input that is gone."""
    found = _CACHE.get(workspace, basis)
    if found is not None:
        return found
    made = _made(workspace, basis)
    if isinstance(made, Refusal):
        return made
    _CACHE.put(workspace, basis, made)
    return made.past


def _made(workspace: Workspace, basis: Basis) -> _Kept | Refusal:
    loaded = _model(workspace, basis)
    if isinstance(loaded, Refusal):
        return loaded
    said, model = loaded
    target = _target(said, basis)
    if isinstance(target, Refusal):
        return target
    found = _view(workspace, target, basis.view)
    if isinstance(found, Refusal):
        return found
    policy = policies.of_id(workspace, basis.policy)
    if isinstance(policy, Refusal):
        return policy
    view, notes = found
    anchor = Events(kind=target.anchor.kind, names=target.anchor.names)
    slot = Slot(
        target=target, program=compiled(view, anchor), model=model, policy=policy, basis=basis
    )
    past = Past(slot=slot, notes=(*notes, *_code(basis)))
    own = canonical.digest(policy.document)
    published = (own,) if workspace.blobs.has(own) else ()  # of a file that was not, there is none
    return _Kept(past=past, blobs=(basis.model, said.booster.sha256, *published))


def _model(workspace: Workspace, basis: Basis) -> tuple[Manifest, Model] | Refusal:
    models = Registry(workspace.blobs, workspace.refs, workspace.journal)
    try:
        found = models.manifest(basis.model)[1], models.get(basis.model)[1]
    except FunnelcastError as error:
        return _gone(f"the model {basis.model[:12]}", str(error))
    now = digest(found[1].calibrator)
    return found if now == basis.calibrator else _gone(f"the calibrator {basis.calibrator}", now)


def _target(said: Manifest, basis: Basis) -> Target | Refusal:
    """Return the target as the model was trained for it."""
    try:
        target = Target.model_validate(said.provenance.target)
    except ValidationError as error:
        return _gone(f"the target {basis.target}", str(error.errors()[0]["msg"]))
    found = f"{target.name}@{target.version}"
    return target if found == basis.target else _gone(f"the target {basis.target}", found)


def _view(
    workspace: Workspace, target: Target, versions: str
) -> tuple[View, tuple[str, ...]] | Refusal:
    """Return the columns that the model saw, and which of them are no longer declared so."""
    several, notes = [], []
    for named in versions.split(","):
        name, _, version = named.partition("@")
        at_hand = next((v for v in VIEWS if (v.name, v.version) == (name, version)), None)
        if at_hand is None:
            notes.append(f"the view {named} is no longer at hand: its definition on record is used")
        try:
            several.append(at_hand or register.load(workspace, name, version))
        except FunnelcastError as error:
            return _gone(f"the view {named}", str(error))
    if tuple(view.name for view in several) != target.views:
        return _gone(f"the views of {target.name}, {','.join(target.views)}", versions)
    features = tuple(feature for view in several for feature in view.features)
    return replace(several[0], name="+".join(target.views), features=features), tuple(notes)


def _code(basis: Basis) -> tuple[str, ...]:
    now = code()
    same = basis.code == now
    return () if same else (f"the code was {basis.code[:12]} and is {now[:12]} now",)


def _gone(what: str, found: str) -> Refusal:
    return Refusal(
        rule=f"{what} must be there as it was",
        value=found,
        remedy="restore it from a backup, with the code of that time",
    )


def _place(workspace: Workspace, basis: Basis) -> tuple[str, str, Basis]:
    return workspace.settings.database, workspace.settings.blobs, basis
