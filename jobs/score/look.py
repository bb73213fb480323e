"""The story of a look at scores: the highest with their reasons, the course of one, or why some
moved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cluster.errors import FunnelcastError, WrongUse, done, nearest
from features import consent
from features.targets import load_target
from jobs import clearance, withheld
from jobs.actions import require
from jobs.console import Job, Progress, Report, argument, option, required
from serving import batch
from serving.moved import picture, why
from serving.moved.split import CAUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cluster.workspace import Workspace
    from features.targets import Target
    from serving.moved.why import Answer, Why

# of each action: the settings that it must have, and those that it may have
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "show": ((), ("entity", "top", "by", "clearance")),
    "why": ((), ("entity", "top", "html", "clearance")),
}
ORDERS = ("probability", "usual")
TOP = 10
COLUMNS = ["entity", "probability", "route", "trend", "change"]
LIKE = ["usual", "against_usual"]


@dataclass(frozen=True, kw_only=True)
class LookSettings:
    """What to look at."""

    action: str = argument("show (the highest scores, or the course of one) or why (they moved).")
    target: str = required("Name in configs/targets, or a file.")
    entity: str | None = option(None, "The one entity to look at.")
    top: int | None = option(
        None, f"How many: the highest, or those that moved most; default: {TOP}."
    )
    by: str | None = option(
        None,
        "show: order by probability, or by usual: how much the odds are above those usual in the"
        " segment, so that a deal of an early stage is compared with its like.",
    )
    html: str | None = option(None, "why: file for a page with a picture of each change.")
    clearance: str | None = option(None, f"{clearance.HELP} Default: as the settings say.")

    def __post_init__(self) -> None:
        """WrongUse for an action that is none, and for what it cannot use."""
        require(self, ACTIONS, (), ("entity", "top", "by", "html", "clearance"))
        if self.by is not None and self.by not in ORDERS:
            raise WrongUse(
                f"--by must be one of {', '.join(ORDERS)}, got '{self.by}':"
                f" {nearest(self.by, ORDERS)}"
            )
        if self.top is not None and (self.top < 1 or self.entity is not None):
            raise WrongUse(
                f"--top must be 1 or more, without --entity, got {self.top}: ask for one thing"
            )


def inputs(workspace: Workspace, settings: LookSettings) -> dict[str, str]:
    """Return nothing: an answer is never remembered."""
    return {}


def run(workspace: Workspace, settings: LookSettings, progress: Progress) -> Report:
    """Do what is asked; writes the page asked for."""
    actions: dict[str, Callable[[Workspace, LookSettings, Target], Report]] = {
        "show": _course if settings.entity else _show,
        "why": _why,
    }
    return actions[settings.action](workspace, settings, load_target(settings.target))


def _show(workspace: Workspace, settings: LookSettings, target: Target) -> Report:
    scores = _frame(workspace, settings, target)
    scores = scores[~_refused(workspace, target, scores["entity"])]
    best = _ordered(scores, settings.by or ORDERS[0]).head(settings.top or TOP)
    shown = best[COLUMNS + (LIKE if best["usual"].notna().any() else [])]
    strongest = [each[0]["text"] if each else "" for each in best["reasons"]]
    return Report(
        read={"table": target.scores_table, "rows": len(scores)},
        wrote={},
        decided=[],
        figures={"reasons": {e: [r["text"] for r in each] for e, each in _reasons(best).items()}},
        table=_plain(shown).assign(reason=strongest),
    )


def _course(workspace: Workspace, settings: LookSettings, target: Target) -> Report:
    entity = settings.entity or ""
    _require_allowed(workspace, target, entity)
    course = batch.course(workspace, target, entity)
    if course.empty:
        raise WrongUse(f"'{entity}' must have a score of '{target.name}', got none: check the id")
    newest = _frame(workspace, settings, target)
    last = newest[newest["entity"] == entity]
    shown = ["time", "probability", "low", "high", "route", "trend", "model", "snapshot"]
    return Report(
        read={"table": target.scores_table, "scores": len(course)},
        wrote={},
        decided=[r["text"] for r in _reasons(last).get(entity, [])]
        or ["is not open any more: it has no score now"],
        figures={"entity": entity},
        table=_plain(course[shown]),
    )


def _why(workspace: Workspace, settings: LookSettings, target: Target) -> Report:
    asked = (
        [settings.entity] if settings.entity else why.moves(workspace, target, settings.top or TOP)
    )
    if settings.entity:
        _require_allowed(workspace, target, settings.entity)
    refused = _refused(workspace, target, asked)
    asked = [each for each, is_out in zip(asked, refused, strict=True) if not is_out]
    answer = done(why.why(workspace, target, asked))
    if not withheld.shows_events(target, clearance.of(workspace, settings.clearance)):
        answer = replace(answer, whys=tuple(replace(each, events=()) for each in answer.whys))
    return Report(
        read={"table": target.scores_table, "then": answer.then, "now": answer.now},
        wrote=_page(settings, target, answer),
        decided=[
            f"from {answer.span[0]:%Y-%m-%d %H:%M} to {answer.span[1]:%Y-%m-%d %H:%M}, in"
            " percentage points",
            *(f"'{entity}' {reason}" for entity, reason in answer.unsplit.items()),
            *(line for each in answer.whys if settings.entity for line in _came(each)),
        ],
        figures={"moved": [each.as_dict() for each in answer.whys]},
        table=pd.DataFrame([_row(each) for each in answer.whys]) if answer.whys else None,
    )


def _frame(workspace: Workspace, settings: LookSettings, target: Target) -> pd.DataFrame:
    """Return the newest scores with their reasons, as they may be shown."""
    scores = batch.frame(workspace, target, reasons=True)
    return withheld.told(scores, target, clearance.of(workspace, settings.clearance))


def _refused(workspace: Workspace, target: Target, entities: Sequence[str]) -> np.ndarray:
    """Return who forbade to be scored, as it is known now: (n,) bool."""
    if target.entity != "lead":
        return np.zeros(len(entities), np.bool_)
    return consent.Keeper(workspace).look().are_refused(pa.array(entities, pa.string()))


def _require_allowed(workspace: Workspace, target: Target, entity: str) -> None:
    if _refused(workspace, target, [entity]).any():
        raise FunnelcastError(
            f"whoever is behind a lead must allow to be scored, got '{entity}', who does not: its"
            " scores are not shown"
        )


def _row(each: Why) -> dict[str, Any]:
    moved = each.moved
    parts = {part.cause: round(part.probability * 100, 2) for part in moved.parts}
    routes = dict.fromkeys([moved.before.route, moved.after.route])
    return {
        "entity": moved.entity,
        "then": f"{moved.before.probability:.1%}",
        "now": f"{moved.after.probability:.1%}",
        **{cause: parts[cause] for cause in CAUSES if cause != "policy"},
        "route": " -> ".join(routes),
        "by": ", ".join(moved.rerouted_by),
    }


def _came(each: Why) -> list[str]:
    """Return in one line per event what came."""
    told = [
        f"{e['came']}: {e['kind']} {e['name']}, {e['event_time']:%Y-%m-%d %H:%M}"
        for e in each.events
    ]
    left = each.count - len(told)
    return told + (
        [f"and {left:,} {'more events' if told else 'events, withheld'}"] if left else []
    )


def _page(settings: LookSettings, target: Target, answer: Answer) -> dict[str, object]:
    if settings.html is None:
        return {}
    path = Path(settings.html).resolve()
    path.write_text(picture.page(target.name, answer), encoding="utf-8")
    return {"page": str(path)}


def _ordered(scores: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return scores by probability, or by how unusual; what has no like counts as usual."""
    if by == "probability":
        return scores
    rank = scores["against_usual"].fillna(1.0).sort_values(ascending=False, kind="stable")
    return scores.loc[rank.index]


def _reasons(scores: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    return dict(zip(scores["entity"], scores["reasons"], strict=True))


def _plain(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a table for people: what is not there is empty, times to the minute, short ids."""
    shown = scores.copy()
    for name in shown.columns:
        if isinstance(shown[name].dtype, pd.DatetimeTZDtype):
            shown[name] = shown[name].dt.strftime("%Y-%m-%d %H:%M")
        elif shown[name].isna().all():
            shown[name] = ""
        elif not pd.api.types.is_numeric_dtype(shown[name].dtype):
            shown[name] = shown[name].astype(object).where(shown[name].notna(), "")
    if "model" in shown:
        shown["model"] = shown["model"].str[:12]
    return shown


JOB = Job(
    verb="score",
    summary="Show the highest scores with their reasons, the course of one, or why some moved.",
    settings=LookSettings,
    needs=dict.fromkeys(ACTIONS),
    inputs=inputs,
    run=run,
    reads_only=True,
)
