"""Arrival: what is known late, what arrives out of order, and what arrives twice.

A weekly import brings what other tools collected; a rep without a connection reports a whole day at
once. Leads, lots and outcomes are written where they happen and are not late here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.sources.world import cells
from features.sources.world.chance import DAY, HOUR, WEEK

if TYPE_CHECKING:
    from features.sources.world.division import Division

IMPORTED = ("touch", "usage", "support")
IMPORT_WEEKS = 3.0  # the longest wait for an import, which runs on Mondays at two
IMPORT_HOUR = 2
OFFLINE_DAYS = (2.0, 9.0)  # until a rep is heard of again
REORDERED_DAYS, REPLAY_DAYS = 3.0, 14.0  # the longest way round of a row, and of its second arrival
MONDAY_1970 = 4 * DAY  # the first one


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """Rows in the order of their arrival, and the truth about it."""

    rows: pa.Table
    order: pd.DataFrame  # row key and how it arrived: reordered or replayed


def late(division: Division, rows: pa.Table) -> tuple[pa.Table, pd.DataFrame]:
    """Make some rows known late; returns the rows and the truth: row key, cause, days of lag."""
    rng, share = division.stream("late"), division.config.late
    event, known = (log.microseconds(rows[column]) for column in ("event_time", "known_at"))
    is_imported = cells.of_kind(rows, *IMPORTED)
    is_imported[is_imported] = rng.random(int(is_imported.sum())) < share
    since = known + rng.uniform(0, IMPORT_WEEKS * WEEK, len(known)).astype(np.int64)
    monday = since + (MONDAY_1970 + IMPORT_HOUR * HOUR - since) % WEEK
    is_offline, until = _offline(division, rows, event)
    then = np.where(is_imported, monday, np.where(is_offline, until, known))
    # what would come after the exports were taken came in time
    then = np.where(then < division.end_us, np.maximum(then, known), known)
    is_late = then > known
    truth = pd.DataFrame(
        {
            "row_key": cells.words(rows["row_key"].filter(pa.array(is_late)).to_pylist()),
            "cause": cells.words(np.where(is_imported, "import", "offline")[is_late].tolist()),
            "lag_days": ((then - event) / DAY)[is_late],
        }
    )
    return cells.replaced(rows, {"known_at": cells.times(then)}), truth


def arrived(division: Division, rows: pa.Table, first_row: int) -> Arrived:
    """Put rows into the order in which they arrive, and number them from `first_row`."""
    config = division.config
    arrives = log.microseconds(rows["known_at"].fill_null(0))
    is_moved = division.stream("reordered").random(len(arrives)) < config.reordered
    way = division.stream("way").uniform(0, REORDERED_DAYS * DAY, len(arrives)).astype(np.int64)
    rng = division.stream("replays")
    again = np.flatnonzero(rng.random(len(arrives)) < config.replays)
    second = arrives[again] + rng.uniform(0, REPLAY_DAYS * DAY, len(again)).astype(np.int64)
    place = np.concatenate([np.arange(len(arrives)), again])
    order = np.argsort(np.concatenate([arrives + way * is_moved, second]), kind="stable")
    taken = rows.take(pa.array(place[order]))
    keys = rows["row_key"]
    moved = keys.filter(pa.array(is_moved)).to_pylist()
    replayed = keys.take(pa.array(again)).to_pylist()
    how = ["reordered"] * len(moved) + ["replayed"] * len(replayed)
    numbers = pa.array(np.arange(first_row, first_row + len(order)))
    return Arrived(
        rows=cells.replaced(taken, {"source_row": numbers}),
        order=pd.DataFrame({"row_key": cells.words(moved + replayed), "how": cells.words(how)}),
    )


def _offline(
    division: Division, rows: pa.Table, event: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the days on which a rep is offline, and when it reports them, for each of its rows."""
    rng = division.stream("offline")
    by_rep = cells.of_kind(rows, "activity") & cells.present(rows, "rep")
    rep = pc.dictionary_encode(rows["rep"]).combine_chunks().indices.fill_null(0).to_numpy()
    days = event // DAY
    cell = rep.astype(np.int64) * 1_000_000 + days
    _, of_row = np.unique(cell, return_inverse=True)
    count = int(of_row.max(initial=0)) + 1
    is_off = rng.random(count) < division.config.late
    first, last = OFFLINE_DAYS
    wait = (rng.uniform(first, last, count) * DAY).astype(np.int64)
    return by_rep & is_off[of_row], (days + 1) * DAY + wait[of_row]
