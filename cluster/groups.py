"""Groups: a queue whose items are handed on together by one thread, so that they share one cost.

The thread is woken once for a group, not once for an item: where other threads compute, every wake
waits for Python's lock, up to `sys.getswitchinterval()`.
"""

from __future__ import annotations

import threading
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
        self._items: list[T] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._changed = threading.Condition(threading.Lock())
        self._started = False
        self._closed = False

    def put(self, *items: T) -> None:
        """Queue items, none between them; WrongUse after close, GroupsStopped in a fork of the
        process.
        """
        with self._changed:
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
            before = len(self._items)
            self._items += items
            if not before or before < self._limit <= len(self._items):  # what the thread waits for
                self._changed.notify()

    @property
    def waiting(self) -> int:
        """How many items nobody has in hand yet."""
        return len(self._items)

    def close(self) -> None:
        """Hand on what is queued, then stop. May be called twice, and by the thread itself."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._started and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        before = 0
        while True:
            group = self._gather(before)
            if not group:
                return
            before = len(group)
            self._handle(group)

    def _gather(self, before: int) -> list[T]:
        """Return the next group; an empty one at the end."""
        with self._changed:
            waits = self._waits_alone or before > 1 or (before > 0 and bool(self._items))
            self._changed.wait_for(lambda: self._items or self._closed)
            if waits:
                self._changed.wait_for(self._is_full, timeout=self._wait_s)
            group, self._items = self._items[: self._limit], self._items[self._limit :]
            return group

    def _is_full(self) -> bool:
        return self._closed or len(self._items) >= self._limit
