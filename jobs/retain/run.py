"""The story of retention: what is due, its removal, and the holds that win over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from cluster import canonical
from cluster.access.entries import Act
from cluster.access.permissions import Permission
from cluster.errors import FunnelcastError, Refusal, WrongUse
from features import compaction
from features.removal import holds as legal
from features.removal import remove
from features.removal.holds import OVER, Hold, Holds
from features.removal.terms import load_retention
from jobs.actions import require
from jobs.console import Job, Progress, Report, argument, option
from jobs.retain import classes

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.workspace import Workspace
    from features.removal.terms import Retention
    from jobs.retain.classes import Found

BEGUN, DONE = "retention.begun", "retention.done"  # kinds of journal entries
# of each action: the settings that it must have, and those that it may have
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "plan": ((), ()),
    "run": (("actor", "reason"), ()),
    "holds": ((), ()),
    "hold": (("name", "actor", "reason"), OVER),
    "lift": (("name", "actor", "reason"), ()),
}
NEEDS = {name: None if name in ("plan", "holds") else Permission.SUBJECTS_ERASE for name in ACTIONS}


class HoldRefused(FunnelcastError):
    """A hold that cannot be placed or lifted."""


@dataclass(frozen=True, kw_only=True)
class RetainSettings:
    """What to do, and why."""

    action: str = argument("plan, run, holds, hold or lift.")
    name: str | None = field(
        default=None, metadata={"help": "hold, lift: name of a hold.", "positional": True}
    )
    subject: str | None = option(None, "hold: pseudonym of a person.")
    account: str | None = option(None, "hold: key of an account.")
    lead: str | None = option(None, "hold: key of a lead.")
    actor: str | None = option(None, "run, hold, lift: who does it.")
    reason: str | None = option(None, "run, hold, lift: why, in a sentence.")

    def __post_init__(self) -> None:
        """WrongUse for an action that is none, and for what it cannot use or must have."""
        require(self, ACTIONS, ("name",), (*OVER, "actor", "reason"))
        given = [over for over in OVER if getattr(self, over) is not None]
        if self.action == "hold" and len(given) != 1:
            raise WrongUse(
                f"a hold must be over one of --subject, --account and --lead, got {len(given)}"
            )


def inputs(workspace: Workspace, settings: RetainSettings) -> dict[str, str]:
    """Return nothing: what is due changes with the clock."""
    return {}


def run(workspace: Workspace, settings: RetainSettings, progress: Progress) -> Report:
    """Do what is asked."""
    actions: dict[str, Callable[[], Report]] = {
        "plan": lambda: _plan(workspace),
        "run": lambda: _run(workspace, _act(workspace, settings), progress),
        "holds": lambda: _holds(workspace),
        "hold": lambda: _hold(workspace, settings),
        "lift": lambda: _lift(workspace, settings),
    }
    return actions[settings.action]()


def _plan(workspace: Workspace) -> Report:
    terms = load_retention()
    found = classes.find(workspace, terms, Holds.read(workspace), workspace.clock())
    return _report(found, removed={})


def _run(workspace: Workspace, act: Act, progress: Progress) -> Report:
    """Remove what is due; what an earlier run left half done is ended too."""
    compaction.fold(workspace)  # nothing waits outside of the log
    terms = load_retention()
    found = classes.find(workspace, terms, Holds.read(workspace), act.now)
    _record(workspace, BEGUN, terms, found, act)
    progress(0, len(found), "classes")
    removed = classes.remove(workspace, found)
    ended = classes.end(workspace)
    if ended or any(removed.values()):
        remove.scrub(workspace.database)
    _record(workspace, DONE, terms, found, act)
    progress(len(found), len(found), "classes")
    return _report(found, removed)


def _record(
    workspace: Workspace, kind: str, terms: Retention, found: list[Found], act: Act
) -> None:
    counts = {
        each.due.name: {
            "due": len(each.due.ids), "held": each.due.held, "before": each.due.before.isoformat(),
        }
        for each in found
    }  # fmt: skip
    body: dict[str, Any] = {
        "terms": canonical.digest(terms.model_dump(mode="json")),
        "classes": counts,
        "actor": act.actor,
        "reason": act.reason,
    }
    workspace.journal.record(kind, body, now=act.now)


def _report(found: list[Found], removed: dict[str, int]) -> Report:
    rows = [
        {
            "class": each.due.name,
            "days": each.due.days,
            "before": f"{each.due.before:%Y-%m-%d %H:%M} UTC",
            "due": len(each.due.ids),
            "held": each.due.held,
        }
        for each in found
    ]
    due = [each.due.line for each in found if each.due.ids or each.due.held]
    return Report(
        read={"classes": len(found)},
        wrote={"removed": sum(removed.values())},
        decided=due or ["nothing is due"],
        figures={
            "due": {r["class"]: r["due"] for r in rows},
            "held": {r["class"]: r["held"] for r in rows},
            "removed": removed,
        },
        table=pd.DataFrame(rows) if rows else None,
    )


def _holds(workspace: Workspace) -> Report:
    found = [dict(vars(hold)) for hold in Holds.read(workspace).all]
    return Report(
        read={"holds": len(found)},
        wrote={},
        decided=[] if found else ["nothing is held"],
        figures={"holds": found},
        table=pd.DataFrame(found) if found else None,
    )


def _hold(workspace: Workspace, settings: RetainSettings) -> Report:
    over = next(over for over in OVER if getattr(settings, over) is not None)
    hold = Hold(name=settings.name or "", over=over, key=getattr(settings, over))
    _done(legal.place(workspace, hold, _act(workspace, settings)))
    said = f"the {over} is held as '{hold.name}': neither retention nor erasure touches it"
    return Report(read={}, wrote={"hold": hold.name}, decided=[said])


def _lift(workspace: Workspace, settings: RetainSettings) -> Report:
    _done(legal.lift(workspace, settings.name or "", _act(workspace, settings)))
    return Report(read={}, wrote={"lifted": settings.name}, decided=["what is due goes next time"])


def _act(workspace: Workspace, settings: RetainSettings) -> Act:
    actor, reason = settings.actor or "", settings.reason or ""
    return Act(actor=actor, reason=reason, now=workspace.clock())


def _done(refused: Refusal | None) -> None:
    if refused is not None:
        raise HoldRefused(str(refused))


JOB = Job(
    verb="retain",
    summary="Remove what is older than configs/retention.yaml says; place and lift legal holds.",
    settings=RetainSettings,
    needs=NEEDS,
    inputs=inputs,
    run=run,
    reads_only=True,
)
