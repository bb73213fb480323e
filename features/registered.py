"""Targets on record: the definition that was used last is a ref `targets/<name>` to its blob.

So its history is the change log of what models are asked to predict: when, by whom and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import canonical, onrecord

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.targets import Target

PREFIX = "targets/"


def keep(workspace: Workspace, target: Target, actor: str, reason: str) -> str:
    """Put the definition of a target on record before it is used; return the digest of its blob.

    Nothing is written for one that is the newest on record already.
    """
    name, what = PREFIX + target.name, f"target '{target.name}'"
    data = canonical.dumps(target.model_dump(mode="json"))
    return onrecord.keep(workspace, name, data, what=what, actor=actor, reason=reason).target
