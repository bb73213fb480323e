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

FIFO, FRESHEST, PRIORITY = range(3)
DISCIPLINES = ("fifo", "freshest", "priority")
NOBODY = -1  # the end of a chain


class Desks(NamedTuple):
    """The desks, one element or row each."""

    capacity: np.ndarray  # int64 [desks, steps], contacts
    discipline: np.ndarray  # int64 [desks], place in DISCIPLINES
    rank: np.ndarray  # int64 [strata], the highest is served first where that is the discipline


class Queues(NamedTuple):
    """Chains of tickets; a ticket is unit * levers + lever."""

    head: np.ndarray  # int32 [desks, turns], the next to serve or NOBODY
    tail: np.ndarray  # int32 [desks, turns]
    after: np.ndarray  # int32 [tickets], the ticket behind
    before: np.ndarray  # int32 [tickets], the ticket in front
    waiting: np.ndarray  # int64 [desks], tickets


def turns(desks: Desks) -> np.ndarray:
    """Return int64 [desks, strata]: the chain that a unit of a stratum joins, 0 served first."""
    _, place = np.unique(-desks.rank, return_inverse=True)
    by_rank = (desks.discipline == PRIORITY)[:, None]
    return np.ascontiguousarray(np.where(by_rank, place[None, :], 0), np.int64)


def empty(n_desks: int, n_turns: int, tickets: int) -> Queues:
    """Return empty chains with room for that many tickets."""
    return Queues(
        head=np.full((n_desks, n_turns), NOBODY, np.int32),
        tail=np.full((n_desks, n_turns), NOBODY, np.int32),
        after=np.empty(tickets, np.int32),
        before=np.empty(tickets, np.int32),
        waiting=np.zeros(n_desks, np.int64),
    )


@njit(cache=True, nogil=True, _nrt=False)
def clear(queues: Queues) -> None:
    """Send everybody home."""
    queues.head[:] = NOBODY
    queues.tail[:] = NOBODY
    queues.waiting[:] = 0


@njit(cache=True, nogil=True, inline="always")
def join(queues: Queues, desk: int, turn: int, ticket: int, is_first: bool) -> None:
    """Put a ticket at the head of a chain, or at its tail."""
    head, tail = queues.head[desk, turn], queues.tail[desk, turn]
    queues.before[ticket] = NOBODY if is_first else tail
    queues.after[ticket] = head if is_first else NOBODY
    if head == NOBODY:
        queues.head[desk, turn] = queues.tail[desk, turn] = ticket
    elif is_first:
        queues.before[head] = ticket
        queues.head[desk, turn] = ticket
    else:
        queues.after[tail] = ticket
        queues.tail[desk, turn] = ticket
    queues.waiting[desk] += 1


@njit(cache=True, nogil=True, inline="always")
def leave(queues: Queues, desk: int, turn: int, ticket: int) -> None:
    """Take a ticket out of its chain, wherever it stands."""
    front, back = queues.before[ticket], queues.after[ticket]
    if front == NOBODY:
        queues.head[desk, turn] = back
    else:
        queues.after[front] = back
    if back == NOBODY:
        queues.tail[desk, turn] = front
    else:
        queues.before[back] = front
    queues.waiting[desk] -= 1
