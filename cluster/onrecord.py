"""On record: a document is a blob, and a ref points to the one that was used last.

So the history of the ref is its change log: what was used when, put there by whom, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import FunnelcastError, Refusal

if TYPE_CHECKING:
    from cluster.refs import Ref
    from cluster.workspace import Workspace

TRIES = 5  # against others who put a document on record at the same moment


def keep(
    workspace: Workspace, name: str, data: bytes, *, what: str, actor: str, reason: str
) -> Ref:
    """Let the ref `name` point to a document and return it; nothing is written if it does already.

    Safe beside other processes; FunnelcastError, which says `what` it is, if they never rest.
    """
    digest = canonical.sha256_hex(data)
    for _ in range(TRIES):
        ref = workspace.refs.get(name)
        if ref is not None and ref.target == digest:
            return ref
        workspace.blobs.put(data)
        epoch, now = ref.epoch if ref else 0, workspace.clock()
        moved = workspace.refs.move(
            name, to=digest, expect_epoch=epoch, actor=actor, reason=reason, now=now
        )
        if not isinstance(moved, Refusal):
            return moved
    raise FunnelcastError(
        f"{what} must come to rest, got {TRIES} moves by others meanwhile: try again"
    )
