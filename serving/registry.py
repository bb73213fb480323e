"""The registry: bundles under their id, and refs per target that say which of them is live.

Publishing admits a bundle, keeps the bytes, then moves `models/<target>/stable`, then journals it:
what a reader finds behind a ref is whole, and a publication cut short is finished by doing it
again. The moves of a ref are its history: what was live when, by whom and why.

Loading takes a new process for the golden rows and about 0.1 s: load before you answer, as the
service does, never in a request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import canonical
from cluster.errors import FunnelcastError, Refusal, WrongUse
from serving import bundle
from serving.admission import broken, plain, ubjson

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.blobs import Blobs
    from cluster.journal import Journal
    from cluster.refs import Ref, Refs
    from serving.bundle import Bundle, Manifest
    from serving.model import Model

KIND = "model.published"
STABLE = "stable"
_ID = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class ModelMissing(FunnelcastError):
    """No model is published under this name."""


@dataclass(frozen=True, kw_only=True)
class Reign:
    """How long an alias pointed at a model, who moved it there, and why."""

    alias: str
    model: str
    epoch: int  # 1 for the first move of the alias
    since: datetime
    until: datetime | None  # None: it still does
    actor: str
    reason: str


def alias(target: str, name: str = STABLE) -> str:
    """Return the alias of a model of a target; by default of the live one.

    >>> alias("lead_qualification")
    'models/lead_qualification/stable'
    """
    for part in (target, name):
        if not _NAME.fullmatch(part):
            raise WrongUse(
                "an alias must be made of small letters, digits, _ and -, "
                f"got {broken.shown(part)}: name it otherwise"
            )
    return f"models/{target}/{name}"


class Registry:
    """The models of one workspace. Safe to share between threads."""

    def __init__(self, blobs: Blobs, refs: Refs, journal: Journal) -> None:
        self._blobs = blobs
        self._refs = refs
        self._journal = journal

    def publish(
        self, packed: Bundle, target: str, *, actor: str, reason: str, now: datetime
    ) -> str | Refusal:
        """Keep a bundle, make it the live model of `target`, journal that, and return its id.

        The live bundle published again changes nothing. BundleBroken when it could not be loaded
        again. A Refusal when another publisher moved the ref meanwhile: the bytes are kept, the ref
        is theirs.
        """
        name = alias(target)
        _must_be_of(target, _loaded(packed.manifest, packed.booster))
        self._blobs.put(packed.booster)
        id = self._blobs.put(packed.manifest)
        moved = self._move(name, id, actor=actor, reason=reason, now=now)
        return moved if isinstance(moved, Refusal) else id

    def point(self, name: str, to: str, *, actor: str, reason: str, now: datetime) -> str | Refusal:
        """Let an alias name a model that is there, by id or alias; journal it, return the id.

        ModelMissing, BlobMissing or BundleBroken when it could not be loaded, WrongUse when it is
        of another target. A Refusal when another moved the alias meanwhile.
        """
        target = target_of(name)
        id = self.resolve(to)
        _must_be_of(target, _loaded(*self._bytes(id)))
        moved = self._move(name, id, actor=actor, reason=reason, now=now)
        return moved if isinstance(moved, Refusal) else id

    def get(self, name: str) -> tuple[str, Model]:
        """Return (id, model) of an alias or id; ModelMissing if there is none, or BundleBroken."""
        id = self.resolve(name)
        return id, bundle.unpack(*self._bytes(id))

    def bundle(self, name: str) -> tuple[str, Bundle]:
        """Return (id, bundle) of an alias or id: bytes that nobody has admitted yet."""
        id = self.resolve(name)
        manifest, booster = self._bytes(id)
        return id, bundle.Bundle(manifest=manifest, booster=booster)

    def stable(self, target: str) -> tuple[str, Model] | Refusal:
        """Return (id, model) of the live model of a target, or a Refusal when none is published."""
        ref = self._refs.get(alias(target))
        if ref is None:
            return Refusal(
                rule=f"a model of '{target}' must be published",
                value="none",
                remedy=f"train it: python -m jobs.train --target {target}",
            )
        return self.get(ref.target)

    def manifest(self, name: str) -> tuple[str, Manifest]:
        """Return (id, manifest) of an alias or id, without loading the trees."""
        id = self.resolve(name)
        return id, bundle.read(self._small(id, plain.MAX_BYTES, plain.WHAT))

    def resolve(self, name: str) -> str:
        """Return the id behind an alias, or the id itself."""
        if is_id(name):
            return name
        ref = self._refs.get(name)
        if ref is None:
            raise ModelMissing(
                f"'{broken.shown(name)}' must be a published model, got nothing there: train it"
            )
        return ref.target

    def aliases(self) -> list[Ref]:
        """Return where every alias points now, by name."""
        names = {entry.body["ref"] for entry in self._journal.entries(KIND)}
        found = (self._refs.get(name) for name in sorted(names))
        return [ref for ref in found if ref is not None]

    def models(self) -> list[str]:
        """Return the id of every model that any alias named, in the order they first did."""
        return list(dict.fromkeys(e.body["model"] for e in self._journal.entries(KIND)))

    def history(self, name: str) -> list[Reign]:
        """Return what an alias pointed at when, oldest first; ModelMissing if at nothing ever."""
        moves = self._refs.history(name)
        if not moves:
            self.resolve(name)
        ends = [*(move.moved_at for move in moves[1:]), None]
        return [
            Reign(
                alias=name,
                model=move.target,
                epoch=move.epoch,
                since=move.moved_at,
                until=end,
                actor=move.actor,
                reason=move.reason,
            )
            for move, end in zip(moves, ends, strict=True)
        ]

    def _bytes(self, id: str) -> tuple[bytes, bytes]:
        manifest = self._small(id, plain.MAX_BYTES, plain.WHAT)
        said = bundle.read(manifest)
        return manifest, self._small(said.booster.sha256, ubjson.MAX_BYTES, ubjson.WHAT)

    def _small(self, id: str, limit: int, what: str) -> bytes:
        # a file of any size may lie under a name: it is measured before it is read
        broken.must_be_within(self._blobs.path_of(id).stat().st_size, limit, what)
        return self._blobs.get(id)

    def _move(self, name: str, id: str, *, actor: str, reason: str, now: datetime) -> Ref | Refusal:
        live = self._refs.get(name)
        if live is None or live.target != id:
            epoch = live.epoch if live else 0
            moved = self._refs.move(
                name, to=id, expect_epoch=epoch, actor=actor, reason=reason, now=now
            )
        else:
            moved = live
        if isinstance(moved, Refusal):
            return moved
        self._record(moved, now)
        return moved

    def _record(self, moved: Ref, now: datetime) -> None:
        # the same ref gives the same entry, so it is written once however often this is reached
        id, body = entry_of(moved)
        self._journal.record(KIND, body, id=id, now=now)


def entry_of(moved: Ref) -> tuple[str, dict[str, Any]]:
    """Return id and body of the entry that journals a move of an alias."""
    body = {
        "ref": moved.name,
        "model": moved.target,
        "epoch": moved.epoch,
        "actor": moved.actor,
        "reason": moved.reason,
    }
    return f"{KIND}:{canonical.digest(body)}", body


def is_id(name: str) -> bool:
    """Is this the id of a model, rather than an alias?"""
    return _ID.fullmatch(name) is not None


def target_of(name: str) -> str:
    """Return the target of an alias; WrongUse if it is none.

    >>> target_of("models/lead_qualification/stable")
    'lead_qualification'
    """
    parts = name.split("/")
    if len(parts) != 3 or parts[0] != "models":
        raise WrongUse(
            f"an alias must be models/<target>/<name>, got {broken.shown(name)}: write it so"
        )
    target, last = parts[1:]
    alias(target, last)
    return target


def _loaded(manifest: bytes, booster: bytes) -> Manifest:
    """Return the manifest of a bundle that can be loaded; BundleBroken if it cannot."""
    bundle.unpack(manifest, booster)
    return bundle.read(manifest)


def _must_be_of(target: str, said: Manifest) -> None:
    found = said.provenance.target.get("name")
    if found != target:
        raise WrongUse(
            f"a model of '{target}' must be trained for it, got one of {broken.shown(found)}: "
            f"train it: python -m jobs.train --target {target}"
        )
