"""The story of a compaction: fold, rewrite, expire, sweep, bring the online store up to date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cluster.access.permissions import Permission
from cluster.errors import WrongUse
from features import compaction, log, online
from jobs.console import Job, Progress, Report, option

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.compaction import Folded, Rewritten

STEPS = 5


@dataclass(frozen=True, kw_only=True)
class CompactSettings:
    """When files are merged, and when a file that nobody refers to is taken away."""

    most_files: int = option(8, "Files of a bucket above which its small ones are merged.")
    keep_days: int = option(30, "Days for which every snapshot of the log can be read.")
    age_hours: int = option(24, "Age of a file without a snapshot at which it is deleted.")

    def __post_init__(self) -> None:
        """WrongUse for numbers that make no sense."""
        for name, least in (("most_files", 1), ("keep_days", 1), ("age_hours", 1)):
            if getattr(self, name) < least:
                flag = name.replace("_", "-")
                raise WrongUse(f"--{flag} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What was put in order."""

    snapshots: int  # given up
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
    progress(2, STEPS, "steps: giving up old snapshots")
    expired = compaction.expire(workspace, timedelta(days=settings.keep_days))
    progress(3, STEPS, "steps: sweeping")
    files = compaction.sweep(workspace, timedelta(hours=settings.age_hours))
    progress(4, STEPS, "steps: online store")
    online.follow(workspace)
    healed = online.heal(workspace)
    progress(STEPS, STEPS, "steps")
    swept = Swept(snapshots=expired, files=files, healed=healed)
    return _report(workspace, folded, rewritten, swept)


def _report(workspace: Workspace, folded: Folded, rewritten: Rewritten, swept: Swept) -> Report:
    return Report(
        read={"arrivals": folded.events + folded.known, "files": rewritten.before},
        wrote={"events": folded.events, "snapshot": workspace.tables.head(log.TABLE)},
        decided=[
            f"{folded.events:,} arrivals went to the log, {folded.known:,} were there,"
            f" {folded.refused:,} refused ones went to quarantine",
            f"{rewritten.before:,} files became {rewritten.after:,}; the fullest bucket has"
            f" {rewritten.most_after} instead of {rewritten.most_before}",
            f"{swept.snapshots:,} old snapshots were given up, {swept.files:,} files that no"
            f" snapshot refers to deleted,"
            f" {swept.healed:,} damaged files of the online store written anew",
        ],
        figures={
            "folded": folded.events,
            "refused": folded.refused,
            "files_before": rewritten.before,
            "files_after": rewritten.after,
            "expired": swept.snapshots,
            "swept": swept.files,
            "healed": swept.healed,
        },
    )


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """More may have arrived, and files have become older: it is always done."""
    return False


JOB = Job(
    verb="compact",
    summary="Fold arrived events into the log, keep files and snapshots few, sweep the rest.",
    settings=CompactSettings,
    needs=Permission.SOURCES_INGEST,
    inputs=inputs,
    run=run,
    current=current,
)
