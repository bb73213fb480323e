"""The story of a rollup: which view, at which moments, over the log as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from cluster.errors import WrongUse, nearest
from features import health, log, rollup
from features.compute import is_mergeable
from features.views import VIEWS, register, view
from jobs.console import Job, Progress, Report, option

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.workspace import Workspace

MOST = 1000  # moments


@dataclass(frozen=True, kw_only=True)
class RollupSettings:
    """What is rolled up, and when."""

    view: str = option("campaign_response", "A view of campaigns, reps or segments.")
    every_days: float = option(7.0, "Days between two moments.")
    moments: int = option(52, "How many moments, the last of them --as-of.")
    as_of: str | None = option(None, "Last moment, ISO 8601; by default when all is known.")

    def __post_init__(self) -> None:
        """WrongUse for numbers that make no sense, and for views of what lies in one bucket."""
        if not self.every_days > 0:
            raise WrongUse(f"--every-days must be above 0, got {self.every_days}")
        if not 1 <= self.moments <= MOST:
            raise WrongUse(f"--moments must be from 1 to {MOST}, got {self.moments}")
        names = [v.name for v in VIEWS if is_mergeable(v) and v.entity in rollup.ENTITIES]
        if self.view not in names:
            raise WrongUse(
                f"--view must be of campaigns, reps or segments, got '{self.view}':"
                f" {nearest(self.view, names)}"
            )


def inputs(workspace: Workspace, settings: RollupSettings) -> dict[str, str]:
    """Return the state of the log and the version of the view."""
    return {
        "events": str(workspace.tables.head(log.TABLE)),
        "view": view(settings.view).version,
    }


def run(workspace: Workspace, settings: RollupSettings, progress: Progress) -> Report:
    """Compute the view and say what there is."""
    snapshot = log.pinned(workspace.tables)
    last = log.as_of(settings.as_of, workspace.tables, snapshot)
    moments = _moments(last, settings)
    wanted = view(settings.view)
    register.keep(workspace, [wanted], "rollup", rollup.table_of(wanted))
    made = rollup.rollup(workspace, wanted, moments, progress)
    health.keep(workspace, rollup.table_of(wanted), made, wanted.columns)
    rows = workspace.tables.read(rollup.table_of(wanted), made, columns=["entity"])
    entities = pc.count_distinct(rows["entity"]).as_py()
    return Report(
        read={"events": snapshot},
        wrote={"table": rollup.table_of(wanted), "snapshot": made, "rows": rows.num_rows},
        decided=[
            f"{entities:,} {wanted.entity}s at {len(moments)} moments from"
            f" {moments[0].isoformat()} to {moments[-1].isoformat()}"
        ],
        figures={"entities": entities, "moments": len(moments), "features": len(wanted.features)},
    )


def _moments(last: datetime, settings: RollupSettings) -> tuple[datetime, ...]:
    step = timedelta(days=settings.every_days)
    return rollup.moments_of(last - (settings.moments - 1) * step, last, step)


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Is what was written still the content of its table?"""
    table: str = report["wrote"]["table"]
    return bool(workspace.tables.head(table) == report["wrote"]["snapshot"])


JOB = Job(
    verb="rollup",
    summary="Compute a view of campaigns, reps or segments over all buckets of the log.",
    settings=RollupSettings,
    needs=None,
    inputs=inputs,
    run=run,
    current=current,
)
