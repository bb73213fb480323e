"""What is asked: the effect of which action, as known when, over which snapshot of the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import WrongUse
from features import log
from jobs import clearance
from jobs.console import option, required
from serving.effects.definition import load_definition
from serving.forecast import funnels

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.effects.definition import Definition
    from serving.forecast.funnels import Funnel


@dataclass(frozen=True, kw_only=True)
class EffectsSettings:
    """Which action, in which funnel, as known when."""

    action: str = required("Name in configs/effects, or a file.")
    funnel: str | None = option(None, "In place of the definition's.")
    as_of: str | None = option(None, "ISO 8601 time with zone; default: all that is known.")
    seed: int = option(0, "Of folds, placebos and bootstraps.")
    clearance: str | None = option(None, f"{clearance.HELP} Default: as the settings say.")
    to: str | None = option(None, "Folder of the page; default: reports in the workspace.")
    runner: str = option("auto", "auto (by size), ray or inline.")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A definition, put to one snapshot of the log."""

    definition: Definition
    funnel: Funnel | None
    as_of: datetime
    snapshot: int

    @property
    def identity(self) -> dict[str, str]:
        """All that the answer depends on, beside the code and the options."""
        told = None if self.funnel is None else self.funnel.model_dump(mode="json")
        return {
            "log": str(self.snapshot),
            "as_of": self.as_of.isoformat(),
            "definition": self.definition.version,
            "views": self.definition.target.made_by,
            "funnel": canonical.digest(told),
        }


def ask(workspace: Workspace, settings: EffectsSettings) -> Asked:
    """Pin the log and settle what is asked; WrongUse for what cannot be read."""
    definition = load_definition(settings.action)
    if settings.funnel is not None:
        definition = definition.model_copy(update={"funnel": settings.funnel})
    snapshot = log.pinned(workspace.tables)
    return Asked(
        definition=definition,
        funnel=funnels.load_funnel(definition.funnel) if definition.funnel else None,
        as_of=_as_of(workspace, settings.as_of, snapshot),
        snapshot=snapshot,
    )


def _as_of(workspace: Workspace, said: str | None, snapshot: int) -> datetime:
    """Return the moment asked for; WrongUse for one of which the log cannot know all yet."""
    last = log.latest(workspace.tables, snapshot)
    moment = last if said is None else log.as_of(said, workspace.tables, snapshot)
    if moment > last:
        raise WrongUse(
            f"--as-of must not be after what the log knows, got {moment.isoformat()}: leave it out,"
            f" or ask for {last.isoformat()} at the latest"
        )
    return moment
