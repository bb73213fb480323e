"""The registry: bundles under their id, and one ref per target that says which of them is live.

Publishing keeps the bytes first, then moves `models/<target>/stable`, then journals it: what a
reader finds behind the ref is whole, and a publication cut short is finished by doing it again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import FunnelcastError, Refusal
from serving import bundle

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.blobs import Blobs
    from cluster.journal import Journal
    from cluster.refs import Ref, Refs
    from serving.bundle import Bundle, Manifest
    from serving.model import Model

KIND = "model.published"
_ID = re.compile(r"[0-9a-f]{64}")


class ModelMissing(FunnelcastError):
    """No model is published under this name."""


def alias(target: str) -> str:
    """Return the alias of the live model of a target.

    >>> alias("lead_qualification")
    'models/lead_qualification/stable'
    """
    return f"models/{target}/stable"


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

        The live bundle published again changes nothing. A Refusal when another publisher moved the
        ref meanwhile: the bytes are kept, the ref is theirs.
        """
        self._blobs.put(packed.booster)
        id = self._blobs.put(packed.manifest)
        moved = self._move(target, id, actor=actor, reason=reason, now=now)
        if isinstance(moved, Refusal):
            return moved
        self._record(moved, now)
        return id

    def get(self, name: str) -> tuple[str, Model]:
        """Return (id, model) of an alias or id; ModelMissing if there is none, or BundleBroken."""
        id = self.resolve(name)
        manifest = self._blobs.get(id)
        booster = self._blobs.get(bundle.read(manifest).booster.sha256)
        return id, bundle.unpack(manifest, booster)

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
        return id, bundle.read(self._blobs.get(id))

    def resolve(self, name: str) -> str:
        """Return the id behind an alias, or the id itself."""
        if _ID.fullmatch(name):
            return name
        ref = self._refs.get(name)
        if ref is None:
            raise ModelMissing(f"'{name}' must be a published model, got nothing there: train it")
        return ref.target

    def _move(
        self, target: str, id: str, *, actor: str, reason: str, now: datetime
    ) -> Ref | Refusal:
        name = alias(target)
        live = self._refs.get(name)
        if live is not None and live.target == id:
            return live
        epoch = live.epoch if live else 0
        return self._refs.move(name, to=id, expect_epoch=epoch, actor=actor, reason=reason, now=now)

    def _record(self, moved: Ref, now: datetime) -> None:
        # the same ref gives the same entry, so it is written once however often this is reached
        body = {
            "ref": moved.name,
            "model": moved.target,
            "epoch": moved.epoch,
            "actor": moved.actor,
            "reason": moved.reason,
        }
        self._journal.record(KIND, body, id=f"{KIND}:{canonical.digest(body)}", now=now)
