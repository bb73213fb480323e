"""Releases as plain values in the words of the API. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serving.releases.assignment import PLACES

if TYPE_CHECKING:
    from serving.leading.followers import Followers
    from serving.leading.moments import Live
    from serving.leading.standing import Judged
    from serving.releases.judge import Finding
    from serving.releases.release import Release
    from serving.slots.releases import Kept

type Plain = dict[str, Any]


def standing(target: str, kept: Kept | None) -> Plain:
    """Return where the release of a target stands."""
    if kept is None:
        nothing = dict.fromkeys(("since", "actor", "reason", "release"))
        return {"target": target, "epoch": 0, **nothing}
    return {
        "target": target,
        "epoch": kept.epoch,
        "since": kept.since,
        "actor": kept.actor,
        "reason": kept.reason,
        "release": release(kept.release),
    }


def release(found: Release) -> Plain:
    """Return a release, its plan by its name and steps."""
    plain = found.model_dump(
        mode="json", include={"id", "state", "policy", "stable", "candidate", "waived", "why"}
    )
    shares = {"share": _share(found), "mirror": found.mirror}
    steps = [step.model_dump(mode="json") for step in found.plan.steps]
    times = {"step_since": found.since, "began": found.began}
    return {**plain, **shares, **times, "plan": found.plan.name, "steps": steps, "step": found.step}


def judged(found: Judged | None, of: Release) -> Plain | None:
    """Return what the judge sees of a release."""
    if found is None:
        return None
    verdict = found.verdict
    return {
        "action": verdict.action.value if of.is_open else None,
        "why": verdict.why if of.is_open else None,
        "findings": [finding(each, of) for each in verdict.findings],
        "look": found.look,
        "looked_at": found.looked_at,
        "is_whole": found.is_whole,
        "more_outcomes": found.more_outcomes,
    }


def finding(found: Finding, of: Release) -> Plain:
    """Return what a guard says."""
    return {**vars(found), "is_waived": found.name in of.waived}


def replicas(found: Followers) -> Plain:
    """Return who follows, and who does not."""
    others = [
        {"replica": each.replica, "epoch": each.epoch, "refused": each.refused or None}
        for each in (*found.behind, *found.refusing)
    ]
    return {"alive": len(found.every), "following": found.following, "others": others}


def move(kept: Kept) -> Plain:
    """Return a move of a release."""
    found = kept.release
    return {
        "release": found.id,
        "epoch": kept.epoch,
        "state": found.state.value,
        "step": found.step,
        "share": _share(found),
        "mirror": found.mirror,
        "since": kept.since,
        "actor": kept.actor,
        "reason": kept.reason,
    }


def live(found: Live) -> Plain:
    """Return what was live at a moment."""
    return {**vars(found), "arms": [vars(arm) for arm in found.arms]}


def _share(found: Release) -> float:
    return found.places / PLACES
