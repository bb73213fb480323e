"""The end of an ingestion: its quality, its record in the journal, and what it says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from cluster import canonical
from features import log
from features.contracts import scores
from features.ingest.outcome import NO_SHARE, Ingested, Landed, Share, share_of
from features.ingest.strip import joined

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import pyarrow as pa

    from cluster import runner
    from cluster.tables import Tables
    from cluster.workspace import Workspace
    from features.contracts import Contract
    from features.contracts.quality import Tally
    from features.contracts.scores import Assessment

TABLE = "quality"
ENTRY = "ingest"  # kind of the journal's entries
RECENT = 60  # ingestions with which one is compared


@dataclass(frozen=True, kw_only=True)
class Course:
    """What was done, until its end."""

    source: str
    terms: Mapping[str, Contract]
    origins: tuple[str, ...]  # see origin.py
    strips: list[Landed]
    resumed: tuple[Share, ...] = ()  # strips that an earlier run had done
    choice: runner.Choice
    now: datetime

    @property
    def name(self) -> str:
        """The identity of the ingestion: that of the files it read."""
        return canonical.digest(sorted(self.origins))


def finish(workspace: Workspace, course: Course) -> Ingested:
    """Score what was read, put the ingestion on record and tell."""
    whole = sum((*course.resumed, *map(share_of, course.strips)), NO_SHARE)
    ingested = Ingested(
        counts=whole.counts,
        reasons=joined([strip.written.reasons for strip in course.strips]),
        origins=course.origins,
        resumed=len(course.resumed),
        nodes=len({strip.written.node for strip in course.strips}) or 1,
        choice=course.choice,
        quality=_assessed(workspace, course, whole.tally),
        snapshot=workspace.tables.head(log.TABLE),
    )
    workspace.journal.record(ENTRY, _entry(course, ingested), now=course.now)
    return ingested


def _assessed(workspace: Workspace, course: Course, tally: Tally) -> Assessment:
    """Score the rows beside earlier ingestions and keep the scores, once per ingestion."""
    tables = workspace.tables
    tables.create(TABLE, scores.QUALITY)
    history = _recent(tables)
    found = scores.assessed(
        course.terms,
        tally,
        ingest=course.name,
        source=course.source,
        now=course.now,
        history=history,
    )
    is_kept = pc.any(pc.equal(history["ingest"], course.name)).as_py()
    if not is_kept and tally.kinds:
        tables.append(TABLE, found.table)
    return found


def _recent(tables: Tables) -> pa.Table:
    """Return the scores of the latest ingestions, of whatever source."""
    commits = tables.history(TABLE)
    if not commits:
        return scores.QUALITY.empty_table()
    since = commits[-RECENT - 1].snapshot if len(commits) > RECENT else None
    return tables.read_files(TABLE, tables.added(TABLE, since, commits[-1].snapshot))


def _entry(course: Course, ingested: Ingested) -> dict[str, object]:
    return {
        "ingest": course.name,
        "source": course.source,
        "origins": list(course.origins),
        "counts": asdict(ingested.counts),
        "snapshot": ingested.snapshot,
    }
