"""Causes: when the unit of each row went forward in its funnel, and when it was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from serving.forecast.units import Course

DAY = 86_400_000_000  # microseconds
NOBODY = -1


def of(
    course: Course, kind: str, entity: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return whether each row's unit was in a stage at T, and in how many days it went forward,
    and was lost, as a move or an end that came first; inf for never. Rows are of leads or of
    opportunities, by key, at microseconds.
    """
    keys = course.keys
    names, units = (
        (keys.leads, keys.unit_of_lead)
        if kind == "lead"
        else (keys.opportunities, keys.unit_of_opportunity)
    )
    code = pc.fill_null(pc.index_in(pa.array(entity, pa.string()), names), NOBODY)
    unit = np.append(units, NOBODY)[np.asarray(code.to_numpy(zero_copy_only=False), np.int64)]
    moves, row = _moves(course, unit)
    said, time = moves[0], moves[1] - at[row]
    state = np.full(len(unit), NOBODY)
    before = time <= 0  # in the order of time: the last that is written is the newest
    state[row[before]] = said[before]
    funnel, never = course.funnel, np.full(len(unit), np.inf)
    after = ~before & (state[row] >= 0)
    lost = after & (said == funnel.lost_state)
    forward = after & (said > state[row]) & ~lost
    causes = {}
    for name, there in (("forward", forward), ("lost", lost)):
        causes[name] = never.copy()
        np.minimum.at(causes[name], row[there], time[there] / DAY)
    return (state >= 0) & (state < funnel.won_state), _first_of(causes)


def _moves(course: Course, unit: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return the moves that stand of the unit of each row, states and times, and whose they are."""
    moves, known = course.moves, np.maximum(unit, 0)
    count = np.where(unit >= 0, moves.begins[known + 1] - moves.begins[known], 0)
    row = np.repeat(np.arange(len(unit)), count)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    place += np.repeat(moves.begins[known], count)
    stands = (moves.holds[place] <= course.at) & (moves.replaced[place] > course.at)
    return (moves.said[place[stands]], moves.time[place[stands]]), row[stands]


def _first_of(causes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the causes with what came after another one as never."""
    first = np.minimum(*causes.values())
    found = {name: np.where(days <= first, days, np.inf) for name, days in causes.items()}
    found["forward"] = np.where(found["lost"] <= first, np.inf, found["forward"])
    return found
