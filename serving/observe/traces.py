"""Traces: spans of requests, of their decisions and of the stages of those, sent to a collector.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) is set; sampling, headers and
timeouts go by the standard variables. A request only notes what it took: a thread of its own makes
the spans of it and sends them. What is too much for that is dropped and counted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cluster.groups import Groups
from serving.observe import context

if TYPE_CHECKING:
    from collections.abc import Iterable

    from serving.observe.context import Context

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
TOGETHER, WAIT_S = 64, 0.5  # pieces of work that are sent together, and how long they gather
MOST_WAITING = 4_096  # pieces of work that are not sent yet
CLOSE_S = 2.0  # that closing waits for the collector
SENT, FAILED, DROPPED = "sent", "failed", "dropped"


@dataclass(frozen=True, kw_only=True)
class Work:
    """One piece of work that was done, with its parts one after the other."""

    name: str
    context: Context
    parent: Context | None
    began_ns: int  # since 1970
    took_ms: float
    attributes: Mapping[str, str | int | float]
    parts_ms: Mapping[str, float] = field(default_factory=dict)
    failed: bool = False
    is_server: bool = False


class Sender(Protocol):
    """What takes pieces of work to a collector."""

    def samples(self, parent: Context | None, trace: int) -> bool:
        """Is a trace to be sent?"""
        ...

    def send(self, done: Iterable[Work]) -> tuple[int, bool]:
        """Send; returns how many spans, and whether they were taken."""
        ...

    def close(self) -> None:
        """End what is under way."""
        ...


class Traces:
    """Where pieces of work are told. Telling never waits and never raises."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.counts = dict.fromkeys((SENT, FAILED, DROPPED), 0)
        self._groups: Groups[Work] = Groups(self._send, wait_s=WAIT_S, limit=TOGETHER, name="spans")

    def begin(self, parent: Context | None) -> Context:
        """Return the span of a piece of work that begins, sampled or not."""
        trace = parent.trace if parent else context.new_trace()
        return context.within(trace, sampled=self._sender.samples(parent, trace))

    def tell(self, work: Work) -> None:
        """Note what was done, if it is sampled."""
        if not work.context.sampled:
            return
        if self._groups.waiting >= MOST_WAITING:
            self.counts[DROPPED] += 1 + len(work.parts_ms)
        else:
            self._groups.put(work)

    def close(self) -> None:
        """Send what is there, for a short while."""
        # a collector that hangs would keep the process; this thread ends with it
        ending = threading.Thread(target=self._end, name="spans end", daemon=True)
        ending.start()
        ending.join(CLOSE_S)

    def _end(self) -> None:
        self._groups.close()
        self._sender.close()

    def _send(self, group: list[Work]) -> None:
        try:
            count, taken = self._sender.send(group)
        except Exception:  # whatever a collector does, the next spans must go out
            count, taken = len(group), False
        self.counts[SENT if taken else FAILED] += count


def is_on(environ: Mapping[str, str]) -> bool:
    """Do the standard variables ask for traces?"""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return False
    return any(environ.get(name) for name in ENDPOINTS)


def open_traces(environ: Mapping[str, str]) -> Traces | None:
    """Return where traces go; None when they are off."""
    if not is_on(environ):
        return None
    from serving.observe.otlp import Collector

    return Traces(Collector())
