"""The story of a look at flags: which there are; how many accounts were told each variant; how long
a comparison of variants is expected to take; and what became of the accounts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster.errors import WrongUse, done
from jobs.actions import require
from jobs.console import Job, Progress, Report, argument, option
from jobs.flags import asked, estimate, exposures, outcomes, page
from serving.releases import flags

if TYPE_CHECKING:
    from cluster.workspace import Workspace

# of each action: the settings that it must have, and those that it may have
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "list": ((), ()),
    "exposures": (("name",), ()),
    "estimate": (("name",), ()),
    "outcomes": (("name",), ("as_of",)),
    "page": (("name",), ("as_of", "to")),
}


@dataclass(frozen=True, kw_only=True)
class FlagsSettings:
    """What to look at."""

    action: str = argument(f"{', '.join(list(ACTIONS)[:-1])} or page.")
    name: str | None = field(
        default=None, metadata={"help": "Of a flag in configs/flags.", "positional": True}
    )
    as_of: str | None = option(None, "outcomes, page: ISO 8601 time with zone; default: now.")
    to: str | None = option(None, "page: file; default: in reports of the workspace.")

    def __post_init__(self) -> None:
        """WrongUse for an action that is none, and for what it cannot use or must have."""
        require(self, ACTIONS, ("name",), ("as_of", "to"))


def inputs(workspace: Workspace, settings: FlagsSettings) -> dict[str, str]:
    """Return nothing: an answer is never remembered."""
    return {}


def run(workspace: Workspace, settings: FlagsSettings, progress: Progress) -> Report:
    """List the flags, or look at one."""
    every = flags.declared()
    if settings.action == "list":
        return exposures.listed(workspace, list(every.values()))
    flag = done(flags.named(every, settings.name or ""), WrongUse)
    if settings.action == "exposures":
        return exposures.counted(workspace, flag)
    if settings.action == "estimate":
        return estimate.estimated(workspace, asked.of(flag))
    found = outcomes.found(workspace, asked.of(flag), settings.as_of)
    if settings.action == "outcomes":
        return found.report
    return page.written(workspace, found, settings.to)


JOB = Job(
    verb="flags",
    summary="List flags; count who was told which variant; compare what became of them.",
    settings=FlagsSettings,
    needs=dict.fromkeys(ACTIONS),
    inputs=inputs,
    run=run,
    reads_only=True,
)
