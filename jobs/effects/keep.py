"""Keeping what was learnt: the blob first, the ref last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import FunnelcastError
from serving.effects import words
from serving.effects.known import Known
from serving.effects.learner import Refused

if TYPE_CHECKING:
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
        "method": words.method(found.basis.grade),
        "figures": tuple(found.figures),
        "curves": tuple(found.curves),
        "overlap": found.overlap,
        "sensitivity": tuple(found.sensitivity),
        "placebo": found.placebo,
        "negative_controls": tuple(found.negative_controls),
        "said": tuple(words.said(asked.definition, found)),
    }


def keep(workspace: Workspace, asked: Asked, known: Known) -> dict[str, str]:
    """Write blob and ref, and return what was written."""
    blob, name = workspace.blobs.put(known.blob), asked.definition.ref
    before = workspace.refs.get(name)
    if before is None or before.target != blob:
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
