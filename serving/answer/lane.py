"""The lane: one thread that takes what is queued as one group, and another if it does not return.

Requests that wait together are scored together, which costs little more than one alone, and nothing
that a model does can keep the threads that wait for answers from answering.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.answer.ticket import Ticket

TOGETHER = 16  # tickets of one group
MOST_LOST = 8  # threads that may be lost in a call that does not return


class _Group(NamedTuple):
    since: float
    tickets: tuple[Ticket, ...]


@dataclass(kw_only=True)
class _Work:
    """What one thread is at."""

    group: _Group | None = None  # None: it waits for one
    is_lost: bool = False


class Lane:
    """Hands tickets to `make` in groups. Safe to share between threads."""

    def __init__(
        self, make: Callable[[list[Ticket]], None], monotonic: Callable[[], float]
    ) -> None:
        self._make = make
        self._monotonic = monotonic
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._lost = 0
        self._work = self._start()

    @property
    def waiting(self) -> int:
        """How many tickets wait."""
        return self._queue.qsize()

    @property
    def is_spent(self) -> bool:
        """Are so many threads lost that the process should be replaced?"""
        return self._lost >= MOST_LOST

    def put(self, ticket: Ticket) -> None:
        """Queue a ticket."""
        self._queue.put(ticket)

    def replace_stuck(self, longest_s: float) -> tuple[Ticket, ...]:
        """Start another thread if this one is at a group for longer; returns that group."""
        with self._lock:
            group = self._work.group
            if group is None or self._monotonic() - group.since < longest_s or self.is_spent:
                return ()
            self._work.is_lost = True
            self._lost += 1
            self._work = self._start()
            return group.tickets

    def close(self) -> None:
        """End the thread once it is through with its group; what is queued stays."""
        self._queue.put(None)

    def _start(self) -> _Work:
        work = _Work()
        threading.Thread(target=self._run, args=(work,), name="lane", daemon=True).start()
        return work

    def _run(self, work: _Work) -> None:
        while True:
            group, is_open = self._take()
            work.group = _Group(self._monotonic(), tuple(group))
            if group:
                self._make(group)
            work.group = None
            if work.is_lost:
                self._lost -= 1  # it came back after all
                return
            if not is_open:
                return

    def _take(self) -> tuple[list[Ticket], bool]:
        """Wait for a ticket and take those that wait with it; False at the end."""
        group: list[Ticket] = []
        ticket = self._queue.get()
        while ticket is not None:
            if not ticket.is_claimed:
                group.append(ticket)
            if len(group) >= TOGETHER:
                return group, True
            try:
                ticket = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False
