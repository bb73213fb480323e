"""The story of a release by a person: what is done with it, where it stands, what the judge sees,
and a page of its evidence. Services follow within a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cluster.access.permissions import Permission
from cluster.errors import done
from features.targets import load_target
from jobs import pages, show
from jobs.actions import require
from jobs.console import Job, Progress, Report, argument, option
from jobs.release import gather, page, tables
from serving.judging import outcomes
from serving.judging.case import Case
from serving.judging.ruling import ruled
from serving.leading import followers, orders, pace
from serving.leading.begun import ReleaseRefused
from serving.leading.orders import Order
from serving.leading.standing import judged
from serving.releases.plan import load_plan
from serving.slots import releases

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.workspace import Workspace
    from serving.leading.standing import Judged
    from serving.slots.releases import Kept

SAID = ("actor", "reason")
# of each action: the settings that it must have, and those that it may have
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "start": (("target", "plan"), ("model", "policy", "version", *SAID)),
    "status": (("target",), ()),
    "history": (("target",), ()),
    "page": (("target",), ("release", "to")),
    "estimate": (("target", "plan"), ()),
    "outcomes": (("target",), SAID),
    "judge": (("target",), SAID),
    "advance": (("target",), SAID),
    "approve": (("target",), SAID),
    "pause": (("target",), SAID),
    "resume": (("target",), ("waive", *SAID)),
    "abort": (("target",), SAID),
    "rollback": (("target",), SAID),
}
READS = ("status", "history", "page", "estimate")
NEEDS: dict[str, Permission | None] = {
    **orders.NEEDS,
    **dict.fromkeys(READS),
    "judge": Permission.RELEASES_CHANGE,
    "outcomes": Permission.RELEASES_CHANGE,
}
PLACES = ("target",)
OPTIONS = ("plan", "model", "policy", "version", "waive", "release", "to", *SAID)


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
    release: str | None = option(None, "page: id of an older release; default: the newest.")
    to: str | None = option(None, "page: file; default: in reports of the workspace.")
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
    target = load_target(settings.target or "").name
    if settings.action == "history":
        return _history(workspace, target)
    if settings.action == "page":
        return _page(workspace, target, settings)
    if settings.action == "estimate":
        return _estimate(workspace, target, settings.plan or "")
    with_release: dict[str, Callable[[Workspace, Kept], Report]] = {
        "status": _status,
        "judge": partial(_judge, settings),
        "outcomes": _outcomes,
    }
    if settings.action in with_release:
        return with_release[settings.action](workspace, _there(workspace, target))
    kept = done(orders.led(workspace, _order(settings, target)), ReleaseRefused)
    return _told(kept, wrote=_wrote(kept), more=_followed(workspace, kept))


def _order(settings: ReleaseSettings, target: str) -> Order:
    waived = [name.strip() for name in (settings.waive or "").split(",")]
    return Order(
        action=settings.action,
        target=target,
        actor=settings.actor or "",
        reason=settings.reason or settings.action,
        plan=settings.plan,
        model=settings.model,
        policy=settings.policy,
        version=settings.version,
        waive=tuple(name for name in waived if name),
    )


def _there(workspace: Workspace, target: str) -> Kept:
    kept = releases.current(workspace, target)
    if kept is None:
        raise ReleaseRefused(str(orders.not_begun(target)))
    return kept


def _followed(workspace: Workspace, kept: Kept) -> list[str]:
    """Wait for the replicas alive, and say who followed."""

    def look() -> followers.Followers:
        now = workspace.clock()
        return followers.followers(workspace.database, kept.release.target, kept.epoch, now)

    return followers.told(*followers.awaited(look))


def _estimate(workspace: Workspace, name: str, plan: str) -> Report:
    """Say what an experiment is expected to take, before it begins."""
    asked, target = load_plan(plan), load_target(name)
    found = done(pace.of(workspace, target), ReleaseRefused)
    took = done(pace.expected(asked, target, found), ReleaseRefused)
    return Report(
        read={"target": name, "plan": asked.name},
        wrote={},
        decided=[tables.estimate(asked, found, took)],
        figures={**vars(found), **vars(took)},
    )


def _outcomes(workspace: Workspace, kept: Kept) -> Report:
    """Tell the judge what became of decisions whose horizon is over."""
    count = outcomes.tell(workspace, kept.release)
    return Report(
        read={"target": kept.release.target, "release": kept.release.id},
        wrote={"outcomes": count},
        decided=[f"{count:,} decisions of {kept.release.id} have an outcome that is new"],
        figures={"outcomes": count},
    )


def _judge(settings: ReleaseSettings, workspace: Workspace, kept: Kept) -> Report:
    """Look once, and do what follows."""
    if not kept.release.is_open:
        raise ReleaseRefused(
            f"a release must be open to be judged, got {kept.release.state}: see status"
        )
    now, case = workspace.clock(), Case(workspace.database, kept.release)
    case.read_on(now)
    verdict, after = ruled(workspace, kept, case, now, actor=settings.actor or "judge")
    seen = judged(case, kept.release, now)
    is_moved = after.epoch != kept.epoch
    follow = _followed(workspace, after) if is_moved else ["it stays where it is"]
    return Report(
        read={"target": kept.release.target, "look": seen.look},
        wrote=_wrote(after) if is_moved else {},
        decided=[f"{verdict.action}: {verdict.why}", tables.sentence(after), *follow],
        figures=_figures(after, seen),
        table=pd.DataFrame(tables.findings(seen, kept.release)),
    )


def _status(workspace: Workspace, kept: Kept) -> Report:
    """Return where a release stands, by what looks have seen so far."""
    now, case = workspace.clock(), Case(workspace.database, kept.release)
    case.follow()
    seen = judged(case, kept.release, now)
    found = followers.followers(workspace.database, kept.release.target, kept.epoch, now)
    more = [f"judge: {seen.verdict.action}: {seen.verdict.why}"] if kept.release.is_open else []
    told = _told(kept, wrote={}, more=[*more, *followers.told(found, None)])
    told.figures.update(_figures(kept, seen))
    return told


def _told(kept: Kept, *, wrote: dict[str, Any], more: list[str]) -> Report:
    """Return where a release stands, step by step."""
    return Report(
        read={"target": kept.release.target},
        wrote=wrote,
        decided=[tables.sentence(kept), *more],
        figures={"release": kept.release.model_dump(mode="json"), "epoch": kept.epoch},
        table=pd.DataFrame(tables.steps(kept.release)),
    )


def _figures(kept: Kept, seen: Judged) -> dict[str, Any]:
    return {
        "release": kept.release.model_dump(mode="json"),
        "epoch": kept.epoch,
        "findings": tables.findings(seen, kept.release),
        "more_outcomes": seen.more_outcomes,
    }


def _wrote(kept: Kept) -> dict[str, Any]:
    return {"release": kept.release.id, "state": kept.release.state.value}


def _history(workspace: Workspace, target: str) -> Report:
    every = releases.history(workspace, target)
    rows = tables.moves(every)
    return Report(
        read={"target": target, "moves": len(every)},
        wrote={},
        decided=[] if every else [f"there was no release of {target} yet"],
        figures={"moves": [kept.release.model_dump(mode="json") for kept in every]},
        table=pd.DataFrame(rows) if rows else None,
    )


def _page(workspace: Workspace, target: str, settings: ReleaseSettings) -> Report:
    """Write the evidence of a release as one HTML file."""
    found = gather.dossier(workspace, target, settings.release)
    html = page.render(found).encode()
    name = f"release-{target}-{found.release.id}.html"
    path = Path(settings.to or workspace.settings.home / "reports" / name).resolve()
    pages.write(path, html)
    return Report(
        read={"target": target, "release": found.release.id, "looks": found.judged.look},
        wrote={"page": str(path), "bytes": len(html)},
        decided=[tables.sentence(found.newest)],
    )


def tell(report: dict[str, Any]) -> None:
    """Print a report, and what guards say where that is not its table."""
    show.outcome(JOB.verb, report, unchanged=False, as_json=False)
    found = report["figures"].get("findings")
    if found and "guard" not in report["table"]["columns"]:
        show.table(found)


JOB = Job(
    verb="release",
    summary="Begin a release of a model or policy, look at it, approve it, go on or go back.",
    settings=ReleaseSettings,
    needs=NEEDS,
    inputs=inputs,
    run=run,
    reads_only=True,  # a move is kept by the ref itself, and journalled
    tell=tell,
)
