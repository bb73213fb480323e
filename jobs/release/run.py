"""The story of a release by a person: start, advance, approve, pause, resume, abort, rollback; and
where it stands. Services follow within a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from cluster.access.acting import is_laptop
from cluster.access.permissions import Permission
from cluster.errors import Refusal, WrongUse, nearest
from features.targets import load_target
from jobs.actions import require
from jobs.console import Job, Progress, Report, argument, option
from jobs.release.begun import Asked, ReleaseRefused, begun, done
from serving.releases.plan import Guards
from serving.releases.release import Release, State
from serving.slots import releases

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.workspace import Workspace
    from serving.slots.releases import Kept

SAID = ("actor", "reason")
# of each action: the settings that it must have, and those that it may have
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "start": (("target", "plan"), ("model", "policy", "version", *SAID)),
    "status": (("target",), ()),
    "history": (("target",), ()),
    "advance": (("target",), SAID),
    "approve": (("target",), SAID),
    "pause": (("target",), SAID),
    "resume": (("target",), ("waive", *SAID)),
    "abort": (("target",), SAID),
    "rollback": (("target",), SAID),
}
READS = ("status", "history")
NEEDS = dict.fromkeys(ACTIONS, Permission.RELEASES_CHANGE) | dict.fromkeys(READS)
NEEDS |= {"approve": Permission.RELEASES_APPROVE}
PLACES = ("target",)
OPTIONS = ("plan", "model", "policy", "version", "waive", *SAID)
WORDS = 60  # letters of a reason in a table


@dataclass(frozen=True, kw_only=True)
class ReleaseSettings:
    """What to do, with the release of which target, and why."""

    action: str = argument(f"{', '.join(list(ACTIONS)[:-1])} or rollback.")
    target: str | None = field(
        default=None, metadata={"help": "What is predicted.", "positional": True}
    )
    plan: str | None = option(None, "start: of configs/releases, or a file.")
    model: str | None = option(None, "start: id or alias of the candidate; default: the live one.")
    policy: str | None = option(None, "start: name of the policy; default: what the service asks.")
    version: int | None = option(None, "start: version of the policy; default: the active one.")
    waive: str | None = option(None, "resume: guards, by comma, that alarm no more.")
    actor: str | None = option(None, "Who does it.")
    reason: str | None = option(None, "Why, in a sentence.")

    def __post_init__(self) -> None:
        """WrongUse for an action that is none, and for what it cannot use or must have."""
        require(self, ACTIONS, PLACES, OPTIONS)


def inputs(workspace: Workspace, settings: ReleaseSettings) -> dict[str, str]:
    """Return nothing: an answer is never remembered, and a release has its own history."""
    return {}


def run(workspace: Workspace, settings: ReleaseSettings, progress: Progress) -> Report:
    """Do what is asked with the release of a target, or read."""
    if settings.action == "history":
        return _history(workspace, settings)
    before = releases.current(workspace, _target(settings))
    if settings.action == "status":
        return _told(_there(before, settings), wrote={})
    if settings.action == "start":
        after = begun(workspace, _asked_for(settings), before)
    else:
        after = done(_taken(workspace, _there(before, settings), settings))
    kept = releases.put(
        workspace,
        after,
        before,
        actor=settings.actor or "",
        reason=settings.reason or "",
        now=workspace.clock(),
    )
    return _told(done(kept), wrote={"release": after.id, "state": after.state.value})


def _asked_for(settings: ReleaseSettings) -> Asked:
    return Asked(
        target=settings.target or "",
        plan=settings.plan or "",
        model=settings.model,
        policy=settings.policy,
        version=settings.version,
        reason=settings.reason or "begun",
    )


def _target(settings: ReleaseSettings) -> str:
    return load_target(settings.target or "").name


def _there(kept: Kept | None, settings: ReleaseSettings) -> Kept:
    if kept is None:
        raise ReleaseRefused(
            f"a release of '{settings.target}' must have begun, got none: begin one with"
            f" python -m jobs.release start {settings.target} --plan canary"
        )
    return kept


def _taken(workspace: Workspace, kept: Kept, settings: ReleaseSettings) -> Release | Refusal:
    """Return the release after a step."""
    at, why, now = kept.release, settings.reason or settings.action, workspace.clock()
    steps: dict[str, Callable[[], Release | Refusal]] = {
        "advance": lambda: at.advanced(why, now),
        "approve": lambda: _approved(workspace, at, settings),
        "pause": lambda: at.paused(why),
        "resume": lambda: at.resumed(why, now, waived=_waived(settings)),
        "abort": lambda: at.aborted(why),
        "rollback": lambda: at.rolled_back(why),
    }
    return steps[settings.action]()


def _waived(settings: ReleaseSettings) -> tuple[str, ...]:
    """Return the guards that are waived; WrongUse for a name that is none."""
    names = [name.strip() for name in (settings.waive or "").split(",") if name.strip()]
    for name in names:
        if name not in Guards.model_fields:
            hint = nearest(name, Guards.model_fields)
            raise WrongUse(f"--waive must name guards, got '{name}': {hint}")
    return tuple(names)


def _approved(workspace: Workspace, at: Release, settings: ReleaseSettings) -> Release | Refusal:
    """Return it at the step that waited; where several people work, by another than who began."""
    began = next(k for k in releases.history(workspace, at.target) if k.release.id == at.id)
    strict = workspace.settings.access.jobs_require_key
    if began.actor == settings.actor and not is_laptop(workspace, strict=strict):
        return Refusal(
            rule="a release must be approved by another person than who began it",
            value=began.actor,
            remedy="ask a colleague",
        )
    return at.approved(settings.reason or settings.action, workspace.clock())


def _told(kept: Kept, *, wrote: dict[str, Any]) -> Report:
    """Return where a release stands, step by step."""
    release = kept.release
    return Report(
        read={"target": release.target},
        wrote=wrote,
        decided=[_sentence(kept)],
        figures={"release": release.model_dump(mode="json"), "epoch": kept.epoch},
        table=pd.DataFrame(_steps(release)),
    )


def _sentence(kept: Kept) -> str:
    release = kept.release
    share = f"{release.places / 100:g} % of the accounts"
    share += ", in replicas of its own" if release.plan.isolated else ""
    since = f"since {kept.since:%Y-%m-%d %H:%M:%S} UTC by {kept.actor}"
    return f"{release.id} of {release.target} is {release.state} at {share}, {since}: {release.why}"


def _steps(release: Release) -> list[dict[str, str]]:
    return [
        {
            "step": str(number + 1),
            "weight": f"{step.weight:g} %",
            "mirror": f"{step.mirror:g} %" if step.mirror else "",
            "lasts": f"{step.bake_minutes:g} min",
            "asks for": _asked(step),
            "": _where(release, number),
        }
        for number, step in enumerate(release.plan.steps)
    ]


def _asked(step: Any) -> str:
    asked = [
        f"{step.accounts:,} accounts" if step.accounts else "",
        f"{step.pairs:,} pairs" if step.pairs else "",
        "approval" if step.approval else "",
    ]
    return ", ".join(each for each in asked if each)


def _where(release: Release, number: int) -> str:
    if number == release.step and release.is_open:
        return f"here, {release.state}"
    if release.state == State.PROMOTED or number < release.step:
        return "done"
    return ""


def _history(workspace: Workspace, settings: ReleaseSettings) -> Report:
    every = releases.history(workspace, _target(settings))
    rows = [
        {
            "since": f"{kept.since:%Y-%m-%d %H:%M:%S}",
            "release": kept.release.id,
            "state": kept.release.state.value,
            "step": f"{kept.release.step + 1} of {len(kept.release.plan.steps)}",
            "share": f"{kept.release.places / 100:g} %",
            "by": kept.actor,
            "why": kept.release.why[:WORDS],
        }
        for kept in every
    ]
    return Report(
        read={"target": settings.target, "moves": len(every)},
        wrote={},
        decided=[] if every else [f"there was no release of {settings.target} yet"],
        figures={"moves": [kept.release.model_dump(mode="json") for kept in every]},
        table=pd.DataFrame(rows) if rows else None,
    )


JOB = Job(
    verb="release",
    summary="Begin a release of a model or policy, look at it, approve it, go on or go back.",
    settings=ReleaseSettings,
    needs=NEEDS,
    inputs=inputs,
    run=run,
    reads_only=True,  # a move is kept by the ref itself, and journalled
)
