"""The emitter: run events to a file of the day, or over HTTP to a receiver.

A file takes a line per event in one append, so several processes may write it. A receiver is
served by a thread of its own: a run waits for it at its end, at most `timeout_s` in all, and what
was not delivered by then is kept in the file. Whatever fails here is one warning and never the
run's failure.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from typing import TYPE_CHECKING

from openlineage.client.transport.http import (
    ApiKeyTokenProvider,
    HttpConfig,
    HttpTransport,
    TokenProvider,
)
from openlineage.client.transport.transport import Transport

from cluster import runevents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openlineage.client.event_v2 import RunEvent

    from cluster.settings import OpenLineageSettings

    type Warn = Callable[[str], None]

FOLDER = "openlineage"  # in the home folder


class DayFiles(Transport):
    """Appends each event to `<folder>/<date>.jsonl`, by the UTC date of the event."""

    kind = "day-files"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def emit(self, event: RunEvent) -> None:  # type: ignore[override]
        """Append one line; readers and other writers never see a line within another."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{event.eventTime[:10]}.jsonl"
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            data = _start(handle) + runevents.line(event)
            if os.write(handle, data) != len(data):
                raise OSError(f"'{path.name}' must take a whole line, got a part of it")
        finally:
            os.close(handle)


def _start(handle: int) -> bytes:
    # a writer that was killed may have left half a line: the next one must not lengthen it
    size = os.fstat(handle).st_size
    return b"\n" if size and os.pread(handle, 1, size - 1) != b"\n" else b""


class Emitter:
    """Takes the events of a run; `close` when it is over."""

    def __init__(self, home: Path, settings: OpenLineageSettings, warn: Warn) -> None:
        self._files = DayFiles(home / FOLDER)
        self._warn = warn
        self._timeout = settings.timeout_s
        self._post = _Post(settings) if settings.url is not None else None

    def emit(self, event: RunEvent) -> None:
        """Take an event; returns at once."""
        if self._post is not None:
            self._post.put(event)
        else:
            self._keep([event])

    def close(self) -> None:
        """Wait for the receiver, at most the timeout, and keep what it did not take."""
        if self._post is None:
            return
        left = self._post.close(self._timeout)
        if left:
            why = self._post.why or f"no answer within {self._timeout:g} s"
            self._warn(f"{len(left)} run events were not delivered and kept in files: {why}")
            self._keep(left)

    def _keep(self, events: list[RunEvent]) -> None:
        try:
            for event in events:
                self._files.emit(event)
        except OSError as error:
            self._warn(f"run events could not be kept: {error.strerror or error}")


class _Post:
    """Delivers events in order from a thread of its own, and gives up after the first failure."""

    def __init__(self, settings: OpenLineageSettings) -> None:
        self.why = ""
        self._transport = _transport(settings)
        self._waiting: queue.SimpleQueue[RunEvent | None] = queue.SimpleQueue()
        self._left: deque[RunEvent] = deque()
        self._thread = threading.Thread(target=self._deliver, name="run events", daemon=True)
        self._thread.start()

    def put(self, event: RunEvent) -> None:
        self._left.append(event)
        self._waiting.put(event)

    def close(self, timeout: float) -> list[RunEvent]:
        """Return what was not delivered, at the latest after `timeout` seconds."""
        self._waiting.put(None)
        self._thread.join(timeout)
        return list(self._left)

    def _deliver(self) -> None:
        try:
            while (event := self._waiting.get()) is not None:
                self._transport.emit(event)
                self._left.popleft()
        except Exception as error:  # of a receiver anything may come
            self.why = type(error).__name__
        finally:
            self._transport.close()


def _transport(settings: OpenLineageSettings) -> HttpTransport:
    key = settings.api_key
    auth = ApiKeyTokenProvider({"apiKey": key.get_secret_value()}) if key else TokenProvider({})
    url = settings.url.get_secret_value() if settings.url else ""
    return HttpTransport(
        HttpConfig(url=url, timeout=settings.timeout_s, auth=auth, retry={"total": 0})
    )
