"""What stood at a moment: of the versions of events, the latest known and not replaced by then.

A version holds from the microsecond after its event, or from when it was known if that is later,
until a later version of its row was known. Times are int64 microseconds since 1970.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

NOTHING = -1  # the state of what is not known to be anywhere


class Versions(NamedTuple):
    """Versions of events, those of each key together and by event time; one element each."""

    begins: np.ndarray  # int64 [keys + 1], where the versions of a key begin, and where all end
    said: np.ndarray  # int64, a state, an amount or the code of a text
    time: np.ndarray  # int64, when it happened
    holds: np.ndarray  # int64, the first moment at which it stands
    replaced: np.ndarray  # int64, the first at which it stands no more; log.NEVER for none


class Rows(NamedTuple):
    """Steps of units, one element each."""

    unit: np.ndarray  # int64
    step: np.ndarray  # int64, its place among all steps of the table
    state: np.ndarray  # int64, at its beginning
    since: np.ndarray  # int64, when it entered that; in its first step, when it became known
    then: np.ndarray  # int64, the state at its end
    is_first: np.ndarray  # bool, the unit became known within it


def versions(
    keys: int, key: np.ndarray, said: np.ndarray, times: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> Versions:
    """Sort versions of so many keys by key, then event time, then what they say; `times` are event
    time, when known and when replaced. Those of no key (-1) are left out.
    """
    time, known, replaced = times
    order = np.lexsort((said, time, key))
    order = order[np.searchsorted(key[order], 0) :]
    begins = np.searchsorted(key[order], np.arange(keys + 1))
    time = time[order]
    return Versions(
        begins=begins,
        said=said[order],
        time=time,
        holds=np.maximum(time + 1, known[order]),
        replaced=replaced[order],
    )


def latest(of: Versions, key: np.ndarray, moment: np.ndarray, none: int = NOTHING) -> np.ndarray:
    """Return what the newest event of each key said at each moment, int64; `none` where nothing
    stood, or there is no key (-1)."""
    found = np.full(len(key), none, np.int64)
    _latest(of, key.astype(np.int64), moment.astype(np.int64), found)
    return found


def states(of: Versions, moment: int, won: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the state of every key at a moment, NOTHING for none, and when it was entered.

    `won` is the first of the states that end a course: the earliest end that stands closes it,
    whatever happens later.
    """
    keys = len(of.begins) - 1
    state, entered = np.empty(keys, np.int64), np.empty(keys, np.int64)
    _states(of, moment, won, state, entered)
    return state, entered


def walk(of: Versions, bounds: np.ndarray, won: int) -> Rows:
    """Return every step between `bounds` (rising, int64) in which a unit was known to be open.

    A unit has a first step, in which it became known, and from then on those at whose beginning it
    was in a stage; a step at whose end nothing is known of it any more is left out.
    """
    rows = _rows(_walk(of, bounds, won, _rows(0)))
    _walk(of, bounds, won, rows)
    return rows


def _rows(count: int) -> Rows:
    unit, step, state, since, then = (np.empty(count, np.int64) for _ in range(5))
    return Rows(unit, step, state, since, then, np.empty(count, np.bool_))


@njit(cache=True, nogil=True)
def _latest(of: Versions, key: np.ndarray, moment: np.ndarray, found: np.ndarray) -> None:
    for row in range(key.size):
        if key[row] < 0:
            continue
        for i in range(of.begins[key[row] + 1] - 1, of.begins[key[row]] - 1, -1):
            if of.holds[i] <= moment[row] < of.replaced[i]:
                found[row] = of.said[i]
                break


@njit(cache=True, nogil=True)
def _states(of: Versions, moment: int, won: int, state: np.ndarray, entered: np.ndarray) -> None:
    for key in range(state.size):
        state[key], entered[key] = _state(of, key, moment, won)


@njit(cache=True, nogil=True)
def _state(of: Versions, key: int, moment: int | np.int64, won: int) -> tuple[np.int64, np.int64]:
    """Return state and time of entry of a key; to enter the stage one is in is no change."""
    state, entered = np.int64(-1), np.int64(0)
    for i in range(of.begins[key], of.begins[key + 1]):
        if of.holds[i] <= moment < of.replaced[i]:
            if state < 0 and of.said[i] >= won:  # an end of what had not begun
                continue
            if of.said[i] != state:
                state, entered = of.said[i], of.time[i]
            if state >= won:
                break
    return state, entered


@njit(cache=True, nogil=True)
def _walk(of: Versions, bounds: np.ndarray, won: int, rows: Rows) -> int:
    """Write the rows, as far as there is room, and return how many there are."""
    count = 0
    for key in range(of.begins.size - 1):
        begins, settled = _span(of, key, won)
        step = np.searchsorted(bounds, begins) - 1
        if begins > bounds[-1] or step < 0:
            continue
        state, entered, is_first = _state(of, key, begins, won)[0], begins, True
        while step < bounds.size - 1:
            then, after = _state(of, key, bounds[step + 1], won)
            if 0 <= state < won and then >= 0:
                if count < rows.unit.size:
                    rows.unit[count], rows.step[count] = key, step
                    rows.state[count], rows.since[count] = state, entered
                    rows.then[count], rows.is_first[count] = then, is_first
                count += 1
            if then >= won and bounds[step + 1] >= settled:
                break
            state, entered, is_first = then, after, False
            step += 1
    return count


@njit(cache=True, nogil=True)
def _span(of: Versions, key: int, won: int) -> tuple[np.int64, np.int64]:
    """Return when a stage of a key first stood, and the moment of its last change."""
    begins, settled = np.int64(2**63 - 1), np.int64(-(2**63))
    for i in range(of.begins[key], of.begins[key + 1]):
        if of.holds[i] >= of.replaced[i]:  # replaced before it stood
            continue
        settled = max(settled, of.holds[i])
        if of.replaced[i] < 2**63 - 1:
            settled = max(settled, of.replaced[i])
        if of.said[i] < won:
            begins = min(begins, of.holds[i])
    return begins, settled
