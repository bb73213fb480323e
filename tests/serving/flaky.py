"""A real HTTP server that fails on purpose: what it does with a request is a function of the test.

It keeps what it was sent. Anything may be played: whole answers, halves of one, none at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

# of a connection: its client has gone, or the test is over
_ENDS = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)

type Play = Callable[[Got, asyncio.StreamWriter], Awaitable[None] | None]


@dataclass(frozen=True, kw_only=True)
class Got:
    """A request as it arrived."""

    number: int  # 0 for the first
    method: str
    target: str  # path and query
    headers: dict[str, str]  # names in small letters
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def key(self) -> str:
        """The idempotency key of the header."""
        return self.headers["idempotency-key"]


@dataclass
class Flaky:
    """A running server; `play` may be changed while it runs."""

    play: Play
    got: list[Got] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        try:
            with contextlib.suppress(*_ENDS):
                while not writer.transport.is_closing():
                    request = await self._read(reader)
                    self.got.append(request)
                    done = self.play(request, writer)
                    if done is not None:
                        await done
                    await writer.drain()
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Got:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Got(number=len(self.got), method=method, target=target, headers=headers, body=body)


@contextlib.contextmanager
def running(play: Play) -> Iterator[Flaky]:
    """Run a server on a thread of its own, at a port of loopback that is free."""
    flaky, loop, is_up = Flaky(play), asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def main() -> None:
        server = await asyncio.start_server(flaky.serve, "127.0.0.1", 0)
        flaky.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        is_up.set()
        await stop.wait()
        server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    is_up.wait(10)
    try:
        yield flaky
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def answer(writer: asyncio.StreamWriter, status: int, body: Any, **headers: str) -> None:
    """Write a whole answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"content-length": str(len(content)), **headers}
    lines = [f"HTTP/1.1 {status} Said", *(f"{k.replace('_', '-')}: {v}" for k, v in named.items())]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)


def problem(writer: asyncio.StreamWriter, status: int, detail: str, **headers: str) -> None:
    """Write a problem document."""
    said = {"type": "about:blank", "title": "Said", "status": status, "detail": detail}
    answer(writer, status, said, content_type="application/problem+json", **headers)


def reset(writer: asyncio.StreamWriter) -> None:
    """Drop the connection with what was written so far."""
    writer.transport.abort()
