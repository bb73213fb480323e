"""The question of a materialization: its options, and the plan that answers it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cluster.errors import WrongUse, nearest
from cluster.settings import CONFIGS
from features import log
from features.contracts import load_contracts
from features.plan import Plan
from features.targets import LONGEST_DAYS, PURPOSES, load_target, require_promised
from jobs.console import option, required
from jobs.materialize import asked

if TYPE_CHECKING:
    from typing import Any

    from cluster.workspace import Workspace

LEAST_DAYS = 1e-5  # about a second
MOST_MOMENTS = 10_000  # of a backfill: more is a unit error


@dataclass(frozen=True, kw_only=True)
class MaterializeSettings:
    """For which target, for what purpose, as known when, and on which runner."""

    target: str = required("Name in configs/targets, or a file.")
    purpose: str = option(
        "training",
        "training (labelled rows), scoring (open entities), backfill (entities open at several"
        " moments) or given (the rows of --spine).",
    )
    as_of: str | None = option(None, "ISO 8601 time with zone; default: all that is known.")
    from_: str | None = option(None, "First moment of a backfill; ISO 8601 with zone.")
    to: str | None = option(None, "End of a backfill, itself left out; default: --as-of.")
    every_days: float = option(7.0, "Days between two moments of a backfill.")
    spine: str | None = option(
        None, "Parquet or CSV file with columns entity and time; others are left aside."
    )
    log_snapshot: int | None = option(None, "Snapshot of the event log; default: the newest.")
    runner: str = option("auto", "auto (by size), ray or inline.")

    def __post_init__(self) -> None:
        """WrongUse for options that do not go together."""
        if self.purpose not in PURPOSES:
            hint = nearest(self.purpose, PURPOSES)
            words = ", ".join(PURPOSES)
            raise WrongUse(f"--purpose must be one of {words}, got '{self.purpose}': {hint}")
        self._require("backfill", "--from", self.from_)
        self._require("given", "--spine", self.spine)
        if self.to is not None and self.from_ is None:
            raise WrongUse("--to must come with --from, got it alone: say when to begin")
        if not LEAST_DAYS <= self.every_days <= LONGEST_DAYS:
            raise WrongUse(
                f"--every-days must be from {LEAST_DAYS} to {LONGEST_DAYS:,}, got {self.every_days}"
            )

    def _require(self, purpose: str, flag: str, value: str | None) -> None:
        if (self.purpose == purpose) != (value is not None):
            there = "it" if value is not None else "none"
            raise WrongUse(
                f"{flag} must come with --purpose {purpose}, and only with it, got {there} with"
                f" --purpose {self.purpose}"
            )


def plan_of(workspace: Workspace, settings: MaterializeSettings) -> Plan:
    """Pin the log and settle what is asked; WrongUse for what cannot be answered."""
    target = load_target(settings.target)
    require_promised(target, load_contracts(CONFIGS / "contracts"))
    snapshot = settings.log_snapshot or log.pinned(workspace.tables)
    as_of = log.as_of(settings.as_of, workspace.tables, snapshot)
    more: dict[str, Any] = {}
    if settings.purpose == "backfill":
        more["moments"] = _moments(settings, as_of)
    if settings.spine is not None:
        more["asked"] = asked.read(settings.spine, as_of)
    purpose = next(each for each in PURPOSES if each == settings.purpose)
    return Plan(target=target, purpose=purpose, as_of=as_of, snapshot=snapshot, **more)


def _moments(settings: MaterializeSettings, as_of: datetime) -> tuple[datetime, ...]:
    """Return the moments of a backfill: `from`, and again every so many days before `to`."""
    first = _moment("--from", settings.from_ or "")
    end = as_of if settings.to is None else _moment("--to", settings.to)
    if not first < end <= as_of:
        raise WrongUse(
            f"--from < --to <= what is known ({as_of.isoformat()}) must hold, got"
            f" {first.isoformat()} and {end.isoformat()}"
        )
    every = timedelta(days=settings.every_days)
    count = -((first - end) // every)
    if count > MOST_MOMENTS:
        raise WrongUse(
            f"a backfill must have at most {MOST_MOMENTS:,} moments, got {count:,}: take more"
            " --every-days or a shorter period"
        )
    return tuple(first + number * every for number in range(count))


def _moment(flag: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise WrongUse(f"{flag} must be an ISO 8601 time with its zone, got '{text}'") from error
    if moment.tzinfo is None:
        raise WrongUse(f"{flag} must name its time zone, got '{text}': add Z for UTC")
    return moment.astimezone(UTC)
