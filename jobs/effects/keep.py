"""Keeping what was learnt: the blob first, the refs last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import FunnelcastError, Refusal
from cluster.refs import Move
from features import log
from serving.effects import words
from serving.effects.known import Known, ref_at
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
    """Write the blob, the ref of its moment, and that of the newest unless it says what was known
    later; return the blob, and the last of these refs.
    """
    blob, newest = workspace.blobs.put(known.blob), asked.definition.ref
    names = [ref_at(newest, known.learnt_at), newest]
    before = [workspace.refs.get(name) for name in names]
    if is_overtaken(workspace, newest, known.learnt_at):
        names.pop()
    moves = [
        Move(name=name, to=blob, expect_epoch=there.epoch if there else 0)
        for name, there in zip(names, before, strict=False)
        if there is None or there.target != blob
    ]
    if moves:
        moved = workspace.refs.move_all(
            moves, actor="jobs.effects", reason="a newer learning", now=workspace.clock()
        )
        if isinstance(moved, Refusal):
            raise Overtaken(str(moved))
    return {"effect": blob, "ref": names[-1]}


def is_overtaken(workspace: Workspace, ref: str, learnt_at: datetime) -> bool:
    """Does a ref say what was known later than a moment? It never goes back, unless to what the log
    no longer knows.
    """
    there = workspace.refs.get(ref)
    if there is None:
        return False
    kept = Known.model_validate_json(workspace.blobs.get(there.target)).learnt_at
    last = log.latest(workspace.tables, log.pinned(workspace.tables))
    return min(kept, last) > learnt_at


def is_kept(workspace: Workspace, wrote: dict[str, str]) -> bool:
    """Is a document kept, under the ref that it was written to?"""
    there = workspace.refs.get(wrote["ref"])
    is_there = there is not None and there.target == wrote["effect"]
    return is_there and workspace.blobs.has(wrote["effect"])
