"""What an ingestion says: of a strip, beside its commit, and of all when it is done."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from features.contracts.quality import NOTHING, Count, Tally
from features.ingest.strip import Counts, Written

if TYPE_CHECKING:
    import pyarrow as pa

    from cluster import runner
    from features.contracts.scores import Assessment


@dataclass(frozen=True, kw_only=True)
class Landed:
    """A strip whose rows are in the tables."""

    written: Written
    doubled: int  # rows that another ingestion had added meanwhile
    snapshot: int | None


@dataclass(frozen=True, kw_only=True)
class Share:
    """What became of the rows of one strip, and how good they were; kept with its commit."""

    counts: Counts
    tally: Tally

    def __add__(self, other: Share) -> Share:
        """Return the sum."""
        return Share(counts=self.counts + other.counts, tally=self.tally + other.tally)

    def said(self) -> str:
        """Return the share as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def heard(cls, text: str) -> Share:
        """Return the share that `said` wrote."""
        found = json.loads(text)
        kinds = {kind: Count(**count) for kind, count in found["tally"]["kinds"].items()}
        return cls(counts=Counts(**found["counts"]), tally=Tally(kinds=kinds))


NO_SHARE = Share(counts=Counts(), tally=NOTHING)


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What became of the rows of a source: read = added + known + quarantined."""

    counts: Counts
    reasons: pa.Table  # reason, rows: the first rule that each refused row broke
    origins: tuple[str, ...]  # see origin.py
    resumed: int  # strips that an earlier, interrupted run had done
    nodes: int
    choice: runner.Choice
    quality: Assessment
    snapshot: int | None  # of the log afterwards

    @property
    def added(self) -> int:
        """Events that are new in the log."""
        return self.counts.added

    @property
    def known(self) -> int:
        """Rows that the log held already."""
        return self.counts.known

    @property
    def quarantined(self) -> int:
        """Rows in quarantine, now or before."""
        return self.counts.quarantined


def share_of(strip: Landed) -> Share:
    """Return the share of a strip that has landed."""
    return Share(counts=after(strip), tally=strip.written.tally)


def after(strip: Landed) -> Counts:
    """Return a strip's counts with what another ingestion added meanwhile counted as known."""
    counts = strip.written.counts
    return replace(counts, added=counts.added - strip.doubled, known=counts.known + strip.doubled)
