"""Targets on record: the definition that was used last is a ref `targets/<name>` to its blob.

So its history is the change log of what models are asked to predict: when, by whom and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import FunnelcastError, Refusal

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.targets import Target

PREFIX = "targets/"
TRIES = 5  # against others who put it on record at the same moment


def keep(workspace: Workspace, target: Target, actor: str, reason: str) -> str:
    """Put the definition of a target on record before it is used; return the digest of its blob.

    Nothing is written for one that is the newest on record already.
    """
    data, name = canonical.dumps(target.model_dump(mode="json")), PREFIX + target.name
    digest = canonical.sha256_hex(data)
    for _ in range(TRIES):
        ref = workspace.refs.get(name)
        if ref is not None and ref.target == digest:
            return digest
        workspace.blobs.put(data)
        moved = workspace.refs.move(
            name,
            to=digest,
            expect_epoch=ref.epoch if ref else 0,
            actor=actor,
            reason=reason,
            now=workspace.clock(),
        )
        if not isinstance(moved, Refusal):
            return digest
    raise FunnelcastError(
        f"target '{target.name}' must come to rest, got {TRIES} moves by others meanwhile: try"
        " again"
    )
