"""Keeping what was learnt: the blob first, the ref last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import FunnelcastError
from serving.effects import words
from serving.effects.known import Known
from serving.effects.learner import Refused

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.workspace import Workspace
    from jobs.effects.asked import Asked
    from serving.effects.learner import Learnt
    from serving.effects.rows import Rows


class Overtaken(FunnelcastError):
    """Another run of the same action finished at the same moment: run it again."""


def document(asked: Asked, rows: Rows, found: Learnt | Refused) -> Known:
    """Return what is known of the action."""
    definition = asked.definition
    counts = np.bincount(rows.arm, minlength=len(rows.arms)).tolist()
    known = Known(
        action=definition.action,
        funnel=definition.funnel,
        description=definition.description,
        definition=definition.version,
        grade=None,
        lasts_days=definition.lasts_days,
        learnt_at=asked.as_of,
        snapshot=str(asked.snapshot),
        method="",
        n=dict(zip(rows.arms, counts, strict=True)),
    )
    if isinstance(found, Refused):
        return known.model_copy(
            update={
                "refused": str(found.why),
                "overlap": found.overlap,
                "negative_controls": found.negative_controls,
                "said": (f"refused: {found.why}",),
            }
        )
    return known.model_copy(update=_learnt(asked, found))


def _learnt(asked: Asked, found: Learnt) -> dict[str, object]:
    first = found.basis.rows.arms[1]
    return {
        "grade": found.basis.grade,
        "causes": found.arms.get(first, {}),
        "arms": found.arms,
        "method": words.method(found.basis.grade, found.by_features),
        "figures": tuple(found.figures),
        "curves": tuple(found.curves),
        "overlap": found.overlap,
        "sensitivity": tuple(found.sensitivity),
        "placebo": found.placebo,
        "negative_controls": tuple(found.negative_controls),
        "said": tuple(words.said(asked.definition, found)),
    }


def keep(workspace: Workspace, asked: Asked, known: Known) -> dict[str, str]:
    """Write the blob, and the ref unless it says what was known later; return what was written."""
    blob, name = workspace.blobs.put(known.blob), asked.definition.ref
    before = workspace.refs.get(name)
    if not is_overtaken(workspace, name, known.learnt_at) and (
        before is None or before.target != blob
    ):
        moved = workspace.refs.move(
            name,
            to=blob,
            expect_epoch=before.epoch if before else 0,
            actor="jobs.effects",
            reason="a newer learning",
            now=workspace.clock(),
        )
        if not moved:
            raise Overtaken(str(moved))
    return {"effect": blob, "ref": name}


def is_overtaken(workspace: Workspace, ref: str, learnt_at: datetime) -> bool:
    """Does a ref say what was known later than a moment? It never goes back."""
    there = workspace.refs.get(ref)
    if there is None:
        return False
    return Known.model_validate_json(workspace.blobs.get(there.target)).learnt_at > learnt_at


def is_kept(workspace: Workspace, wrote: dict[str, str]) -> bool:
    """Is a document kept, and does the ref point at it, or at one from later?"""
    there = workspace.refs.get(wrote["ref"])
    if there is None or not workspace.blobs.has(wrote["effect"]):
        return False
    mine = Known.model_validate_json(workspace.blobs.get(wrote["effect"]))
    return there.target == wrote["effect"] or is_overtaken(workspace, wrote["ref"], mine.learnt_at)
