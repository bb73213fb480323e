"""The story of a look at the policies: publish, list, show, history, compare, or activate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from cluster.access.permissions import Permission
from cluster.errors import FunnelcastError, Refusal, WrongUse, done
from jobs.actions import require
from jobs.console import Job, Progress, Report, argument, option
from jobs.policies.changes import changes
from serving.policy import Fallback, Override, Policy, Review, Route, load_policy
from serving.slots import document, policies

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.workspace import Workspace
    from serving.releases.exploring import Explore

# of each action: the settings that it must have, and those that it may have
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "publish": (("name", "file"), ("actor", "reason")),
    "list": ((), ()),
    "show": (("name",), ("version",)),
    "history": (("name",), ()),
    "diff": (("name", "to"), ()),
    "activate": (("name", "to"), ("actor", "reason")),
}
NEEDS = dict.fromkeys(ACTIONS) | dict.fromkeys(("publish", "activate"), Permission.POLICIES_CHANGE)
PLACES = ("name", "to")
WORDS = 44  # letters of a reason in a table
SAME = "as the file"


class PolicyRefused(FunnelcastError):
    """A policy that cannot be published, activated or read."""


def place(help: str) -> Any:
    """Return a field that is given by its place, and may be left out."""
    return field(default=None, metadata={"help": help, "positional": True})


@dataclass(frozen=True, kw_only=True)
class PoliciesSettings:
    """What to do, with which policy, and why."""

    action: str = argument("publish, list, show, history, diff or activate.")
    name: str | None = place("A policy; diff: NAME (the active one), NAME@VERSION or a file.")
    to: str | None = place("activate: number of a version; diff: what to compare with.")
    file: str | None = option(None, "publish: a YAML file, such as configs/policies/NAME.yaml.")
    version: int | None = option(None, "show: number of a version; by default the active one.")
    actor: str | None = option(None, "publish, activate: who does it.")
    reason: str | None = option(None, "publish, activate: why, in a sentence.")

    def __post_init__(self) -> None:
        """WrongUse for an action that is none, and for what it cannot use or must have."""
        require(self, ACTIONS, PLACES, ("file", "version", "actor", "reason"))


def inputs(workspace: Workspace, settings: PoliciesSettings) -> dict[str, str]:
    """Return nothing: an answer is never remembered, and a policy has its own history."""
    return {}


def run(workspace: Workspace, settings: PoliciesSettings, progress: Progress) -> Report:
    """Do what is asked; publishes or activates a version, or reads."""
    actions: dict[str, Callable[[Workspace, PoliciesSettings], Report]] = {
        "publish": _publish,
        "list": _list,
        "show": _show,
        "history": _history,
        "diff": _diff,
        "activate": _activate,
    }
    return actions[settings.action](workspace, settings)


def _publish(workspace: Workspace, settings: PoliciesSettings) -> Report:
    policy = load_policy(_file(settings.file or ""))
    if policy.name != settings.name:
        raise WrongUse(
            f"the policy in '{settings.file}' must be called '{settings.name}', got"
            f" '{policy.name}': publish it under its own name"
        )
    document.must_be_plain(policy)
    actor, reason = settings.actor or "", settings.reason or ""
    ref = done(policies.publish(workspace, policy, actor=actor, reason=reason), PolicyRefused)
    return Report(
        read={"file": settings.file},
        wrote={"policy": policy.id, "ref": ref.name, "epoch": ref.epoch},
        decided=[f"{policy.id} is active since {_time(ref.moved_at)}; services follow it"],
    )


def _activate(workspace: Workspace, settings: PoliciesSettings) -> Report:
    name, actor, reason = settings.name or "", settings.actor or "", settings.reason or ""
    number = _number(settings.to or "")
    ref = done(
        policies.activate(workspace, name, number, actor=actor, reason=reason), PolicyRefused
    )
    policy = done(policies.active(workspace, name), PolicyRefused)
    return Report(
        read={"policy": policy.id},
        wrote={"policy": policy.id, "ref": ref.name, "epoch": ref.epoch},
        decided=[f"{policy.id} is active since {_time(ref.moved_at)}; services follow it"],
    )


def _list(workspace: Workspace, settings: PoliciesSettings) -> Report:
    files = policies.declared()
    known = policies.names(workspace)
    rows = [_line(workspace, name, files.get(name)) for name in sorted({*known, *files})]
    return Report(
        read={"published": len(known), "files": len(files)},
        wrote={},
        decided=[f"{row['policy']}: {row['file']}" for row in rows if row["file"] != SAME],
        figures={"active": {row["policy"]: row["version"] for row in rows}},
        table=pd.DataFrame(rows) if rows else None,
    )


def _line(workspace: Workspace, name: str, file: Policy | None) -> dict[str, Any]:
    """Return what is told of a policy: which version is active, and whether its file is otherwise.

    One that was never published is as its file says.
    """
    ref = workspace.refs.get(policies.ref_of(name))
    if ref is None:
        said = "not published yet: the file counts until it is"
        version = file.version if file else None
        return {"policy": name, "version": version, "since": "", "by": "", "why": "", "file": said}
    live = policies.active(workspace, name)
    return {
        "policy": name,
        "version": live.version if isinstance(live, Policy) else None,
        "since": _time(ref.moved_at),
        "by": ref.actor,
        "why": _short(ref.reason),
        "file": str(live) if isinstance(live, Refusal) else _beside(live, file),
    }


def _beside(live: Policy, file: Policy | None) -> str:
    """Return how the file stands to the active policy."""
    if file is None:
        return "no file"
    if file.id == live.id:
        return SAME
    told = [line for line in changes(live, file) if not line.startswith("version")]
    more = f" and {len(told) - 1} more" if len(told) > 1 else ""
    first = f": {told[0]}{more}" if told else ""
    return f"the file has version {file.version} and does not count{first}"


def _show(workspace: Workspace, settings: PoliciesSettings) -> Report:
    name = settings.name or ""
    if settings.version is None:
        policy = done(policies.chosen(workspace, name), PolicyRefused)
    else:
        policy = _version(workspace, name, settings.version)
    return Report(
        read={"policy": policy.id},
        wrote={},
        decided=[],
        figures=policy.document,
        table=pd.DataFrame(_steps(policy)),
    )


def _steps(policy: Policy) -> list[dict[str, str]]:
    """Return in one row each what decides, in the order in which it is asked."""
    asked: list[tuple[str, Override | Review | Route | Fallback]] = [
        *((f"{rule.when.feature} {rule.said}", rule) for rule in policy.rules),
        *((f"the interval is wider than {r.interval_wider_than}", r) for r in [policy.review] if r),
        *((f"the score is {route.at_least} or more", route) for route in policy.routes),
        *(("no model could be asked", each) for each in [policy.fallback] if each),
    ]
    steps = [{"when": when, "route": to.route, "reason": to.reason} for when, to in asked]
    return [*steps, *([_lot(policy.explore)] if policy.explore else [])]


def _lot(explore: Explore) -> dict[str, str]:
    when = f"a threshold gave one of these, and the account is one of {explore.share * 100:g} %"
    return {"when": when, "route": ", ".join(explore.routes), "reason": "by lot, to learn from it"}


def _history(workspace: Workspace, settings: PoliciesSettings) -> Report:
    name = settings.name or ""
    numbers = {v.digest: v.policy.version for v in policies.versions(workspace, name)}
    moves = [
        {"version": numbers.get(ref.target), "epoch": ref.epoch, "blob": ref.target}
        | {"since": ref.moved_at.isoformat(), "actor": ref.actor, "reason": ref.reason}
        for ref in workspace.refs.history(policies.ref_of(name))
    ]
    if not moves:
        done(policies.active(workspace, name), PolicyRefused)
    table = [
        {"version": move["version"], "from": str(move["since"])[:16].replace("T", " ")}
        | {"by": move["actor"], "why": _short(str(move["reason"]))}
        for move in moves
    ]
    return Report(
        read={"policy": name, "moves": len(moves)},
        wrote={},
        decided=[],
        figures={"moves": moves},
        table=pd.DataFrame(table),
    )


def _diff(workspace: Workspace, settings: PoliciesSettings) -> Report:
    before, after = (_meant(workspace, name or "") for name in (settings.name, settings.to))
    found = changes(before, after)
    return Report(
        read={"before": before.id, "after": after.id},
        wrote={},
        decided=found or ["they say the same"],
        figures={"changes": found},
    )


def _meant(workspace: Workspace, name: str) -> Policy:
    """Return the policy that NAME, NAME@VERSION or a file stands for."""
    known, at, number = name.partition("@")
    if at and not policies.is_file(name):
        return _version(workspace, known, _number(number))
    return done(policies.chosen(workspace, name), PolicyRefused)


def _version(workspace: Workspace, name: str, number: int) -> Policy:
    known = {each.policy.version: each.policy for each in policies.versions(workspace, name)}
    if number not in known:
        there = ", ".join(map(str, known)) or "none"
        raise WrongUse(
            f"a version of '{name}' must be published, got {number}: published are {there}"
        )
    return known[number]


def _file(name: str) -> str:
    if not policies.is_file(name):
        raise WrongUse(f"--file must be a YAML file, got '{name}': give configs/policies/NAME.yaml")
    return name


def _number(text: str) -> int:
    if not text.isdecimal():
        raise WrongUse(f"a version must be a number, got '{text}': see history NAME")
    return int(text)


def _short(reason: str) -> str:
    return reason if len(reason) <= WORDS else f"{reason[: WORDS - 1]}…"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


JOB = Job(
    verb="policies",
    summary="Publish, list, show and compare policies, what was active when; activate a version.",
    settings=PoliciesSettings,
    needs=NEEDS,
    inputs=inputs,
    run=run,
    reads_only=True,  # a move is kept by the ref itself, and journalled
)
