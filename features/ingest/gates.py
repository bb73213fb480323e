"""Log and quarantine together: opened at what they hold, and entered in the right order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from features import log
from features.ingest import quarantine
from features.ingest.land import Landing
from features.ingest.outcome import Landed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.workspace import Workspace
    from features.ingest.strip import Written


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Where written rows land, and the snapshots that their writers know."""

    pins: tuple[int | None, int | None]  # of the log and of quarantine
    events: Landing
    refused: Landing

    @classmethod
    def open(cls, workspace: Workspace) -> Self:
        """Open both tables, making what is not there yet."""
        tables = workspace.tables
        log.create(tables, workspace.settings.buckets)
        quarantine.create(tables)
        pins = tables.head(log.TABLE), tables.head(quarantine.TABLE)
        return cls(
            pins=pins,
            events=Landing(tables, log.TABLE, pins[0]),
            refused=Landing(tables, quarantine.TABLE, pins[1]),
        )

    def land(
        self,
        written: Written,
        refused: Mapping[str, str],
        events: Mapping[str, str],
        *,
        disjoint: bool = True,
    ) -> Landed:
        """Commit what was written, refusals first, so that events on record are whole; `refused`
        and `events` are what the commits say.
        """
        self.refused.land(written.refused, refused, disjoint=disjoint)
        snapshot, doubled = self.events.land(
            written.events, events, versions=written.versions, disjoint=disjoint
        )
        return Landed(written=written, doubled=doubled, snapshot=snapshot)
