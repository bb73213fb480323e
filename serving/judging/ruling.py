"""What follows from a verdict: the release at its next step, held or undone, with the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster.access.entries import REASON_LIMIT
from cluster.errors import Refusal
from serving.releases.judge import Action
from serving.releases.release import State
from serving.slots import releases

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.workspace import Workspace
    from serving.judging.case import Case
    from serving.releases.judge import Verdict
    from serving.releases.release import Release
    from serving.slots.releases import Kept

ACTOR = "judge"


def ruled(
    workspace: Workspace, kept: Kept, case: Case, now: datetime, *, actor: str = ACTOR
) -> tuple[Verdict, Kept]:
    """Judge a release once, and return the verdict with the release after it; nothing is changed
    when another moved it meanwhile.
    """
    verdict = case.verdict(kept.release, now)
    after = following(kept.release, verdict, now)
    if after is None:
        return verdict, kept
    more = {"verdict": said(verdict), "look": case.look.number}
    reason = in_short(verdict.why)
    moved = releases.put(workspace, after, kept, actor=actor, reason=reason, now=now, more=more)
    return verdict, kept if isinstance(moved, Refusal) else moved


def following(release: Release, verdict: Verdict, now: datetime) -> Release | None:
    """Return the release after a verdict; None where it stays. One that stands still may be undone,
    and goes on only by a person.
    """
    why = in_short(verdict.why)
    if verdict.action == Action.ROLLBACK:
        after = release.rolled_back(why)
    elif release.state != State.RUNNING or verdict.action == Action.WAIT:
        return None
    elif verdict.action == Action.HOLD:
        after = release.held(why)
    else:
        after = release.advanced(why, now)
    return None if isinstance(after, Refusal) else after


def said(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain JSON values."""
    return {
        "action": verdict.action.value,
        "why": verdict.why,
        "findings": [dict(vars(each)) for each in verdict.findings],
    }


def in_short(why: str) -> str:
    """Return words that fit where a reason is kept.

    >>> len(in_short("because " * 100)), in_short("as it is")
    (500, 'as it is')
    """
    words = " ".join(why.split())
    return words if len(words) <= REASON_LIMIT else words[: REASON_LIMIT - 1] + "…"
