"""The story of a look at the registry: list, show, history, a card, a moved alias, or a mirror."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cluster.access.permissions import Permission
from cluster.errors import FunnelcastError, WrongUse, done
from jobs.actions import require
from jobs.console import Job, Progress, Report, argument, option
from jobs.models import mirror, tracking
from serving import registry
from serving.card import page
from serving.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.workspace import Workspace
    from serving.bundle import Manifest

# of each action: the settings that it must have, and those that it may have
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "list": ((), ()),
    "show": (("name",), ()),
    "history": (("name",), ()),
    "card": (("name", "html"), ()),
    "alias": (("name", "to"), ("actor", "reason")),
    "mirror": ((), ("name", "uri", "actor", "reason")),
}
NEEDS = dict.fromkeys(ACTIONS) | {
    "alias": Permission.ALIASES_CHANGE,
    "mirror": Permission.MODELS_READ,
}
PLACES = ("name", "to")
SHORT = 12  # digits of an id in a table
WORDS = 44  # letters of a reason in a table
LEAST = 6  # digits that may stand for an id


class AliasLost(FunnelcastError):
    """Another was first."""


def place(help: str) -> Any:
    """Return a field that is given by its place, and may be left out."""
    return field(default=None, metadata={"help": help, "positional": True})


@dataclass(frozen=True, kw_only=True)
class ModelsSettings:
    """What to do, with which model, and why."""

    action: str = argument("list, show, history, card, alias or mirror.")
    name: str | None = place(
        "A target (its live model), models/<target>/<alias>, an id or its beginning; mirror: a"
        " target, by default all."
    )
    to: str | None = place("alias: the model that it is to name, named in the same ways.")
    html: str | None = option(None, "card: file for the page.")
    actor: str | None = option(None, "alias: who moves it.")
    reason: str | None = option(None, "alias: why, in a sentence.")
    uri: str | None = option(None, "mirror: address of MLflow; default: MLFLOW_TRACKING_URI.")

    def __post_init__(self) -> None:
        """WrongUse for an action that is none, and for what it cannot use or must have."""
        require(self, ACTIONS, PLACES, ("html", "actor", "reason", "uri"))


def inputs(workspace: Workspace, settings: ModelsSettings) -> dict[str, str]:
    """Return nothing: an answer is never remembered, and an alias has its own history."""
    return {}


def run(workspace: Workspace, settings: ModelsSettings, progress: Progress) -> Report:
    """Do what is asked; writes the page asked for, moves the alias, or tells MLflow."""
    if settings.action == "mirror":
        return _mirror(workspace, settings, progress)
    actions: dict[str, Callable[[Workspace, ModelsSettings], Report]] = {
        "list": _list,
        "show": _show,
        "history": _history,
        "card": _card,
        "alias": _alias,
    }
    return actions[settings.action](workspace, settings)


def _list(workspace: Workspace, settings: ModelsSettings) -> Report:
    models = _registry(workspace)
    aliases = models.aliases()
    rows = [
        {"alias": ref.name, "model": ref.target[:SHORT], "since": _time(ref.moved_at)}
        | {"by": ref.actor, "why": _short(ref.reason)}
        for ref in aliases
    ]
    return Report(
        read={"aliases": len(aliases), "models": len(models.models())},
        wrote={},
        decided=[] if rows else ["no model is published: python -m jobs.train --target <name>"],
        figures={"live": {ref.name: ref.target for ref in aliases}, "models": models.models()},
        table=pd.DataFrame(rows) if rows else None,
    )


def _show(workspace: Workspace, settings: ModelsSettings) -> Report:
    id, said = _registry(workspace).manifest(_named(workspace, settings.name or ""))
    made = said.provenance
    live = [ref.name for ref in _registry(workspace).aliases() if ref.target == id]
    return Report(
        read={"model": id},
        wrote={},
        decided=[
            f"target: {made.target.get('name')}, version {made.target_version}",
            f"trained on {made.training_table} at snapshot {made.training_snapshot}",
            f"made at {made.created_at.isoformat()} by code {made.code_version}",
            f"{len(said.features)} features, {said.booster.rounds} trees of {said.booster.size:,} "
            f"bytes; live as {', '.join(live) or 'nothing'}",
            *_judged(said),
        ],
        figures=said.model_dump(mode="json"),
    )


def _history(workspace: Workspace, settings: ModelsSettings) -> Report:
    name = _alias_of(settings.name or "")
    reigns = _registry(workspace).history(name)
    rows = [
        {"model": reign.model[:SHORT], "from": _time(reign.since)}
        | {"until": _time(reign.until) if reign.until else "now"}
        | {"by": reign.actor, "why": _short(reign.reason)}
        for reign in reigns
    ]
    moves = [
        {"epoch": r.epoch, "model": r.model, "since": r.since.isoformat(), "actor": r.actor}
        | {"until": r.until.isoformat() if r.until else None, "reason": r.reason}
        for r in reigns
    ]
    return Report(
        read={"alias": name, "moves": len(reigns)},
        wrote={},
        decided=[],
        figures={"moves": moves},
        table=pd.DataFrame(rows),
    )


def _card(workspace: Workspace, settings: ModelsSettings) -> Report:
    id, packed = _registry(workspace).bundle(_named(workspace, settings.name or ""))
    path = Path(settings.html or "").resolve()
    path.write_text(page.html(packed.manifest, packed.booster), encoding="utf-8")
    return Report(read={"model": id}, wrote={"page": str(path)}, decided=[])


def _alias(workspace: Workspace, settings: ModelsSettings) -> Report:
    models, name = _registry(workspace), _alias_of(settings.name or "")
    moved = models.point(
        name,
        _named(workspace, settings.to or ""),
        actor=settings.actor or "",
        reason=settings.reason or "",
        now=workspace.clock(),
    )
    done(moved, AliasLost)
    return Report(
        read={"model": moved},
        wrote={"alias": name},
        decided=[f"{name} names {moved}; services load it when they start"],
    )


def _mirror(workspace: Workspace, settings: ModelsSettings, progress: Progress) -> Report:
    models, uri = _registry(workspace), tracking.address(settings.uri, os.environ)
    wanted = _of_target(models, settings.name)
    there, told = tracking.Mirror.opened(uri), tracking.Told()
    for number, id in enumerate(wanted):
        progress(number, len(wanted), f"model {id[:SHORT]}")
        told += there.tell(mirror.training(*models.bundle(id), models.manifest(id)[1]))
    for ref in models.aliases():
        if ref.target in wanted:
            target, name = ref.name.split("/")[1:]
            told += there.point(target, name, ref.target)
    place = tracking.shown(uri, os.environ)
    return Report(
        read={"models": len(wanted)},
        wrote={"mlflow": place, **asdict(told)},
        decided=[
            f"{told.runs} runs, {told.versions} versions and {told.aliases} aliases were new there"
        ],
        figures={"models": wanted, "new": asdict(told)},
    )


def _of_target(models: Registry, target: str | None) -> list[str]:
    """Return the models of a target, or all; WrongUse when there is none."""
    if target is not None:
        registry.alias(target)
    found = [
        id
        for id in models.models()
        if target in (None, models.manifest(id)[1].provenance.target.get("name"))
    ]
    if not found:
        raise WrongUse(
            f"a mirror must have models, got none of {target or 'any target'}: train one:"
            f" python -m jobs.train --target {target or '<name>'}"
        )
    return found


def _named(workspace: Workspace, name: str) -> str:
    """Return the alias or id that a name stands for."""
    found = [id for id in _registry(workspace).models() if id.startswith(name)]
    if len(name) >= LEAST and len(found) == 1:
        return found[0]
    if len(name) >= LEAST and len(found) > 1:
        raise WrongUse(
            f"the beginning of an id must be of one model, got '{name}': give more of it"
        )
    return name if registry.is_id(name) else _alias_of(name)


def _alias_of(name: str) -> str:
    """Return the alias that a name stands for: a target's own is its live model."""
    if "/" not in name:
        return registry.alias(name)
    registry.target_of(name)
    return name


def _judged(said: Manifest) -> list[str]:
    evaluation = said.provenance.metrics.get("evaluation")
    signal = evaluation.get("signal") if isinstance(evaluation, dict) else None
    return [str(signal["sentence"])] if isinstance(signal, dict) and "sentence" in signal else []


def _registry(workspace: Workspace) -> Registry:
    return Registry(workspace.blobs, workspace.refs, workspace.journal)


def _short(reason: str) -> str:
    return reason if len(reason) <= WORDS else f"{reason[: WORDS - 1]}…"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


JOB = Job(
    verb="models",
    summary="List and show models, what was live when, their cards; move an alias; tell MLflow.",
    settings=ModelsSettings,
    needs=NEEDS,
    inputs=inputs,
    run=run,
    reads_only=True,  # a move of an alias is kept by the ref itself, and journalled
)
