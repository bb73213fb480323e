"""The story of a compaction: fold, rewrite, sweep, and bring the online store up to date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cluster.errors import WrongUse
from features import compaction, log, online
from jobs.console import Job, Progress, Report, option

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.compaction import Folded, Rewritten

STEPS = 4


@dataclass(frozen=True, kw_only=True)
class CompactSettings:
    """When files are merged, and when a file that nobody refers to is taken away."""

    most_files: int = option(8, "Files of a bucket above which its small ones are merged.")
    age_hours: int = option(24, "Age of a file without a snapshot at which it is deleted.")

    def __post_init__(self) -> None:
        """WrongUse for numbers that make no sense."""
        for name, least in (("most_files", 1), ("age_hours", 1)):
            if getattr(self, name) < least:
                flag = name.replace("_", "-")
                raise WrongUse(f"--{flag} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What was put in order."""

    files: int  # deleted, for no snapshot refers to them
    healed: int  # of the online store, written anew


def inputs(workspace: Workspace, settings: CompactSettings) -> dict[str, str]:
    """Return the state of the log."""
    return {"events": str(workspace.tables.head(log.TABLE))}


def run(workspace: Workspace, settings: CompactSettings, progress: Progress) -> Report:
    """Fold, rewrite, sweep and follow; each part can be interrupted and done again."""
    progress(0, STEPS, "steps: folding")
    folded = compaction.fold(workspace)
    progress(1, STEPS, "steps: merging files")
    rewritten = compaction.rewrite(workspace, settings.most_files)
    progress(2, STEPS, "steps: sweeping")
    swept = compaction.sweep(workspace, timedelta(hours=settings.age_hours))
    progress(3, STEPS, "steps: online store")
    online.follow(workspace)
    healed = online.heal(workspace)
    progress(STEPS, STEPS, "steps")
    return _report(workspace, folded, rewritten, Swept(files=swept, healed=healed))


def _report(workspace: Workspace, folded: Folded, rewritten: Rewritten, swept: Swept) -> Report:
    return Report(
        read={"arrivals": folded.events + folded.known, "files": rewritten.before},
        wrote={"events": folded.events, "snapshot": workspace.tables.head(log.TABLE)},
        decided=[
            f"{folded.events:,} arrivals went to the log, {folded.known:,} were there,"
            f" {folded.refused:,} refused ones went to quarantine",
            f"{rewritten.before:,} files became {rewritten.after:,}; the fullest bucket has"
            f" {rewritten.most_after} instead of {rewritten.most_before}",
            f"{swept.files:,} files that no snapshot refers to were deleted,"
            f" {swept.healed:,} damaged files of the online store written anew",
        ],
        figures={
            "folded": folded.events,
            "refused": folded.refused,
            "files_before": rewritten.before,
            "files_after": rewritten.after,
            "swept": swept.files,
            "healed": swept.healed,
        },
    )


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """More may have arrived, and files have become older: it is always done."""
    return False


JOB = Job(
    verb="compact",
    summary="Fold arrived events into the log, keep its files few, sweep files of dead writers.",
    settings=CompactSettings,
    inputs=inputs,
    run=run,
    current=current,
)
