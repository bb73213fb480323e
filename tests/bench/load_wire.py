"""Keep-alive connections of the load generator: one request in flight each, answers read by length.

Speaks as much HTTP/1.1 as a service with bodies of known length needs. Linux only: the clock is a
timerfd, because timers of an event loop count whole milliseconds.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections import deque
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

CLOSED, REFUSED, UNREADABLE = "closed", "refused", "unreadable"  # kinds of errors
_ABSOLUTE, _NONBLOCKING = 1, os.O_NONBLOCK  # TFD_TIMER_ABSTIME, TFD_NONBLOCK
_END, _LENGTH, _CLOSE = b"\r\n\r\n", b"\r\ncontent-length:", b"\r\nconnection: close"

# what is heard of a request: its number, status (0: none), kind of error, head and body
type Hear = Callable[[int, int, str, bytes, bytes], None]


class Connection(asyncio.Protocol):
    """One connection: writes a request, reads its answer, and says that it is free again."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._asked = -1  # the request in flight; -1: none
        self._heard = b""
        self._body_at = self._ends_at = 0
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take part in the pool."""
        self._transport, self.is_open = cast("asyncio.Transport", transport), True
        self._pool.freed(self)

    def send(self, number: int, request: bytes) -> None:
        """Send a request; only when none is in flight."""
        assert self._transport
        self._asked, self._heard, self._ends_at = number, b"", 0
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Read on; tell an answer that is whole."""
        self._heard = self._heard + data if self._heard else data
        if not self._ends_at and not self._head():
            return
        if len(self._heard) >= self._ends_at:
            self._whole()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell that the request in flight, if there is one, has no answer."""
        self.is_open = False
        self._pool.lost()
        self._fail(CLOSED)

    def close(self) -> None:
        """Close, whatever is in flight."""
        self.is_open = False
        if self._transport:
            self._transport.abort()

    def _head(self) -> bool:
        """Read the head, if it is there: where the body begins and ends."""
        end = self._heard.find(_END)
        if end < 0:
            return False
        head = self._heard[: end + 2].lower()
        at = head.find(_LENGTH)
        if at < 0 or self._asked < 0:
            self._fail(UNREADABLE)
            self.close()
            return False
        stop = head.find(b"\r", at + 2)
        self._body_at = end + 4
        self._ends_at = self._body_at + int(head[at + len(_LENGTH) : stop])
        return True

    def _whole(self) -> None:
        asked, heard = self._asked, self._heard
        self._asked, self._heard = -1, b""
        head, body = heard[: self._body_at], heard[self._body_at : self._ends_at]
        if _CLOSE in head.lower():
            self.close()
        else:
            self._pool.freed(self)
        self._pool.hear(asked, int(head[9:12]), "", head, body)

    def _fail(self, kind: str) -> None:
        asked, self._asked = self._asked, -1
        if asked >= 0:
            self._pool.hear(asked, 0, kind, b"", b"")


class Pool:
    """Connections to one address, opened as they are needed, at most `most` at once."""

    def __init__(self, host: str, port: int, most: int, hear: Hear) -> None:
        self._where = (host, port)
        self._most = most
        self.hear = hear
        self._free: list[Connection] = []  # the last one used is the next one used
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._all: list[Connection] = []
        self._open = 0
        self.opened = 0

    def send(self, number: int, request: bytes) -> None:
        """Send on a free connection, or on the first that becomes free."""
        while self._free:
            connection = self._free.pop()
            if connection.is_open:
                connection.send(number, request)
                return
        self._waiting.append((number, request))
        if self._open + len(self._opening) < self._most:
            self.grow()

    def grow(self) -> None:
        """Open one connection more."""
        task = asyncio.get_running_loop().create_task(self._connect())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def ready(self) -> None:
        """Wait until no connection is being opened."""
        while self._opening:
            await asyncio.wait(self._opening)

    def freed(self, connection: Connection) -> None:
        """Use a connection that has nothing in flight."""
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._free.append(connection)

    def lost(self) -> None:
        """Count a connection as gone."""
        self._open -= 1

    def close(self) -> None:
        """Close every connection."""
        for task in self._opening:
            task.cancel()
        for connection in self._all:
            connection.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(self)
        self._open += 1
        try:
            await loop.create_connection(lambda: connection, *self._where)
        except OSError:
            self._open -= 1
            if self._waiting:
                self.hear(self._waiting.popleft()[0], 0, REFUSED, b"", b"")
            return
        self._all.append(connection)
        self.opened += 1


class Clock:
    """Calls back at given moments of `time.monotonic`, to a few microseconds."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCKING)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "a timerfd must be there: run on Linux")
        self._spec = (ctypes.c_long * 4)()  # struct itimerspec: interval, value
        self._tick = tick
        asyncio.get_running_loop().add_reader(self._file, self._fired)

    def at(self, moment: float) -> None:
        """Call back at `moment`, or at once when it has passed."""
        self._spec[2], self._spec[3] = divmod(max(int(moment * 1e9), 1), 1_000_000_000)
        self._libc.timerfd_settime(self._file, _ABSOLUTE, self._spec, None)

    def close(self) -> None:
        """Call back no more."""
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    def _fired(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:
            return
        self._tick()
