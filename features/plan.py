"""A plan: which feature rows to compute, of what, as known when. Pure; it travels to workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from features import compute, log, spine

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from features.targets import Target

type Progress = Callable[[int, int, str], None]  # done, total, what


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to compute: plain values, so that it can travel to a worker."""

    target: Target
    purpose: Literal["training", "scoring"]
    as_of: datetime
    snapshot: int  # of the event log

    @property
    def table(self) -> str:
        """Name of the table to write."""
        target = self.target
        return target.training_table if self.purpose == "training" else target.scoring_table

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table to write."""
        base = spine.TRAINING if self.purpose == "training" else spine.SCORING
        return pa.schema(
            [*base, *(pa.field(f.name, f.type) for f in self.target.features.features)]
        )

    @property
    def properties(self) -> dict[str, str]:
        """What the snapshot says about its making."""
        return {
            "funnelcast.target": f"{self.target.name}@{self.target.version}",
            "funnelcast.view": f"{self.target.features.name}@{self.target.features.version}",
            "funnelcast.as_of": self.as_of.isoformat(),
            log.MADE_FROM: str(self.snapshot),
        }

    def rows_of(self, events: pa.Table) -> pa.Table:
        """The kernel: the events of one bucket in, its feature rows out. Pure."""
        spines = {"training": spine.training, "scoring": spine.scoring}
        rows = spines[self.purpose](self.target, events, self.as_of)
        return compute.compute(self.target.features, events.select(compute.COLUMNS), rows)
