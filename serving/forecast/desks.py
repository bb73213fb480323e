"""Desks: reps who share a capacity, and the queues in which listed units wait for them.

A queue is a chain of tickets, one ticket for each (unit, lever) that waits; a ticket leaves its
chain at once when its unit closes, unsubscribes or leaves the stages of the lever, and costs
nothing. What is listed in the same step stands by lever as declared, then oldest unit first. Served
is from the head: `FIFO` and `PRIORITY` join at the tail, `FRESHEST` at the head (so of one step the
last listed is served first). `PRIORITY` has a chain for each rank and empties the highest first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from serving.forecast.bare import BARE

FIFO, FRESHEST, PRIORITY = range(3)
DISCIPLINES = ("fifo", "freshest", "priority")
NOBODY = -1  # the end of a chain
HEAD, TAIL = 0, 1
TICKET = np.dtype(
    [
        ("until", np.int32),  # first step its unit may be listed, or WAITING, or NEVER
        ("before", np.int32),  # the ticket in front
        ("after", np.int32),  # the ticket behind
        ("felt", np.float64),  # what fatigue leaves of the contact in force, else 0
    ]
)


class Desks(NamedTuple):
    """The desks, one element or row each."""

    capacity: np.ndarray  # int64 [desks, steps], contacts
    discipline: np.ndarray  # int64 [desks], place in DISCIPLINES
    rank: np.ndarray  # int64 [strata], the highest is served first where that is the discipline


class Queues(NamedTuple):
    """Chains of tickets, one for each desk and turn."""

    ends: np.ndarray  # int32 [desks, turns, 2], tickets at HEAD and TAIL, or NOBODY
    waiting: np.ndarray  # int64 [desks], tickets


def turns(desks: Desks) -> np.ndarray:
    """Return int64 [desks, strata]: the chain that a unit of a stratum joins, 0 served first."""
    _, place = np.unique(-desks.rank, return_inverse=True)
    by_rank = (desks.discipline == PRIORITY)[:, None]
    return np.ascontiguousarray(np.where(by_rank, place[None, :], 0), np.int64)


def empty(n_desks: int, n_turns: int) -> Queues:
    """Return chains in which nobody waits."""
    ends = np.full((n_desks, n_turns, 2), NOBODY, np.int32)
    return Queues(ends, np.zeros(n_desks, np.int64))


@njit(**BARE)
def clear(queues: Queues) -> None:
    """Send everybody home."""
    queues.ends[:] = NOBODY
    queues.waiting[:] = 0


@njit(cache=True, nogil=True, inline="always")
def join(tickets: np.ndarray, ends: np.ndarray, ticket: int, is_first: bool) -> None:
    """Put a ticket at the head of a chain, or at its tail. tickets are TICKET records [tickets];
    ends is int32 [2].
    """
    head, tail = ends[HEAD], ends[TAIL]
    tickets[ticket]["before"] = NOBODY if is_first else tail
    tickets[ticket]["after"] = head if is_first else NOBODY
    if head == NOBODY:
        ends[HEAD] = ticket
        ends[TAIL] = ticket
    elif is_first:
        tickets[head]["before"] = ticket
        ends[HEAD] = ticket
    else:
        tickets[tail]["after"] = ticket
        ends[TAIL] = ticket


@njit(cache=True, nogil=True, inline="always")
def leave(tickets: np.ndarray, ends: np.ndarray, ticket: int) -> None:
    """Take a ticket out of its chain, wherever it stands."""
    front, back = tickets[ticket]["before"], tickets[ticket]["after"]
    if front == NOBODY:
        ends[HEAD] = back
    else:
        tickets[front]["after"] = back
    if back == NOBODY:
        ends[TAIL] = front
    else:
        tickets[back]["before"] = front
