"""One step of a scoring: a file of feature rows read, scored, written and put on record. Runs in a
thread or on a Ray worker; nobody sees what it writes until the driver commits all of them at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import FunnelcastError
from cluster.parts import Part, Parts
from serving import batch
from serving.moved import replay

if TYPE_CHECKING:
    from jobs.score.work import Place

CHUNK = 2_000  # rows


class RowsLost(FunnelcastError):
    """Not every row that was read has a score."""


def take(place: Place, number: int) -> int:
    """Score one file, and put the scores on record; returns how many. RowsLost for another number
    than the file has rows.
    """
    work, tables, count = place.work, place.workspace.tables, 0
    rows, writer = _read(place, number).sort_by("entity"), tables.writer(work.table)
    for start in range(0, rows.num_rows, CHUNK):
        scored = place.scorer.score(rows.slice(start, CHUNK), work.now)
        writer.add(scored)
        count += scored.num_rows
    written = tuple(each.file_path for each in writer.close())
    require_all(rows.num_rows, count)
    part = Part(number=number, files=written, said={"rows": count})
    Parts(place.workspace.database).keep(work.name, part, place.workspace.clock())
    return count


def level(place: Place, number: int) -> pa.Table:
    """Return the segment and the probability of each row of one file."""
    rows = _read(place, number)
    segments = pa.array(batch.segments_of(rows, place.scorer.segment), pa.string())
    found = replay.scored(place.scorer.model, rows).probability
    return pa.table({"segment": segments, "probability": found})


def _read(place: Place, number: int) -> pa.Table:
    """Return the rows of a file, but for those of entities that are left out."""
    table = place.work.target.scoring_table
    rows = batch.plain(place.workspace.tables.read_files(table, [place.files[number]]))
    withheld = pa.array(place.work.withheld, pa.string())
    return rows.filter(pc.invert(pc.is_in(rows["entity"], value_set=withheld)))


def require_all(read: int, scored: int) -> None:
    """RowsLost unless there are as many scores as rows."""
    if read != scored:
        raise RowsLost(
            f"every row must have its score, got {scored:,} scores of {read:,} rows: run the same"
            " command again, and restore the rows from a backup if it ends like this again"
        )
