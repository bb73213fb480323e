"""Groups: a queue whose items are handed on together by one thread, so that they share one cost."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING

from cluster import errors

if TYPE_CHECKING:
    from collections.abc import Callable


class GroupsStopped(errors.FunnelcastError):
    """The thread that hands the groups on does not run in this process."""


class Groups[T]:
    """Hands everything queued to `handle`, in order and in groups of at most `limit` items.

    The first item of a group waits at most `wait_s` for others; while `handle` runs, the next group
    gathers. With `waits_alone` off it waits only while others are about: when the group before it
    was more than one item, or ran as it came. The thread starts with the first item. `handle` must
    not raise.
    """

    def __init__(
        self,
        handle: Callable[[list[T]], None],
        *,
        wait_s: float,
        limit: int,
        name: str,
        waits_alone: bool = True,
    ) -> None:
        self._handle = handle
        self._wait_s = wait_s
        self._waits_alone = waits_alone
        self._limit = limit
        self._queue: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._lock = threading.Lock()  # keeps items from being queued behind the end mark
        self._started = False
        self._closed = False

    def put(self, item: T) -> None:
        """Queue an item; WrongUse after close, GroupsStopped in a fork of the process."""
        with self._lock:
            if self._closed:
                raise errors.WrongUse("a closed queue takes nothing, got one more: open it again")
            if not self._started:
                self._thread.start()
                self._started = True
            elif not self._thread.is_alive():  # a fork copies no threads
                raise GroupsStopped(
                    f"the thread '{self._thread.name}' must run, got a process without it: "
                    "open what owns it again in this process"
                )
            self._queue.put(item)

    def close(self) -> None:
        """Hand on what is queued, then stop. May be called twice, and by the thread itself."""
        with self._lock:
            if not self._closed and self._started:
                self._queue.put(None)
            self._closed = True
        if self._started and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        is_open, before = True, 0
        while is_open:
            waits = self._waits_alone or before > 1 or not self._queue.empty()
            group, is_open = self._gather(self._wait_s if waits else 0.0)
            before = len(group)
            if group:
                self._handle(group)

    def _gather(self, wait_s: float) -> tuple[list[T], bool]:
        group: list[T] = []
        item = self._queue.get()
        deadline = time.monotonic() + wait_s
        while item is not None:
            group.append(item)
            if len(group) == self._limit:
                return group, True
            try:
                item = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return group, True
        return group, False
