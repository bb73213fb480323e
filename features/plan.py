"""A plan: which feature rows to compute, of what, as known when. Pure; it travels to workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

import pyarrow as pa

from features import compute, content, log, spine

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from features.targets import Purpose, Target

type Progress = Callable[[int, int, str], None]  # done, total, what


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to compute: plain values, so that it can travel to a worker."""

    target: Target
    purpose: Purpose
    as_of: datetime  # the knowledge cut: nothing known later is used
    snapshot: int  # of the event log
    moments: tuple[datetime, ...] = ()  # of a backfill, none after `as_of`
    # of a given spine, no T after `as_of`
    asked: pa.Table = field(default_factory=spine.ASKED.empty_table)

    @property
    def table(self) -> str:
        """Name of the table to write."""
        return self.target.table(self.purpose)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table to write."""
        base = spine.TRAINING if self.purpose == "training" else spine.SCORING
        return pa.schema(
            [*base, *(pa.field(f.name, f.type) for f in self.target.features.features)]
        )

    @property
    def identity(self) -> dict[str, object]:
        """All that the rows depend on beside the code, as plain JSON values."""
        return {
            "target": [self.target.name, self.target.version],
            "views": self.target.view_versions,
            "purpose": self.purpose,
            "as_of": _utc(self.as_of),
            "snapshot": self.snapshot,
            "moments": [_utc(moment) for moment in self.moments],
            "asked": content.of(self.asked).digest(self.asked.schema),
        }

    @property
    def properties(self) -> dict[str, str]:
        """What the snapshot says about its making."""
        return {
            "funnelcast.target": f"{self.target.name}@{self.target.version}",
            "funnelcast.view": self.target.made_by,
            "funnelcast.as_of": _utc(self.as_of),
            log.MADE_FROM: str(self.snapshot),
        }

    def rows_of(self, events: pa.Table) -> pa.Table:
        """The kernel: the events of one bucket in (compute.COLUMNS), its feature rows out. Pure."""
        rows = self.spine_of(events)
        return compute.compute(self.target.features, events.select(compute.COLUMNS), rows)

    def spine_of(self, events: pa.Table) -> pa.Table:
        """The rows of one bucket that are to be given features: it takes the events that the target
        speaks of, with every version of theirs. Pure.
        """
        match self.purpose:
            case "training":
                return spine.training(self.target, events, self.as_of)
            case "scoring":
                return spine.scoring(self.target, events, self.as_of)
            case "backfill":
                return spine.backfill(self.target, events, self.moments)
            case "given":
                return spine.given(self.target, events, self.asked)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
