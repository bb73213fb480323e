"""Spans by OpenTelemetry, sent to a collector by OTLP over HTTP. Imported when traces are on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.context import Context as Around
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from serving.observe.context import Context
    from serving.observe.traces import Work

NAME = "funnelcast"
SERVICE = "service.name"
_UNNAMED = "unknown_service"  # what the SDK says where no variable names the service


class Collector:
    """Makes and sends the spans of work that was done. For one thread, but `samples`."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):  # counted, not told each time
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._exporter = exporter or OTLPSpanExporter()
        self._ids, self._ended = _Ids(), _Ended()
        self._provider = TracerProvider(
            resource=_resource(), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(self._ended)
        self._tracer = self._provider.get_tracer(NAME)

    def samples(self, parent: Context | None, trace: int) -> bool:
        """Is a trace to be sent, by OTEL_TRACES_SAMPLER?"""
        around = _around(parent)
        found = self._provider.sampler.should_sample(around, trace, NAME)
        return found.decision is Decision.RECORD_AND_SAMPLE

    def send(self, done: Iterable[Work]) -> tuple[int, bool]:
        """Send the spans of some work; returns how many, and whether the collector took them."""
        for work in done:
            self._make(work)
        spans, self._ended.spans = self._ended.spans, []
        taken = self._exporter.export(spans) is SpanExportResult.SUCCESS
        return len(spans), taken

    def close(self) -> None:
        """End what is under way."""
        self._exporter.shutdown()

    def _make(self, work: Work) -> None:
        self._ids.given = work.context
        span = self._tracer.start_span(
            work.name,
            _around(work.parent),
            kind=SpanKind.SERVER if work.is_server else SpanKind.INTERNAL,
            attributes=dict(work.attributes),
            start_time=work.began_ns,
        )
        at, inside = work.began_ns, set_span_in_context(span)
        for name, took_ms in work.parts_ms.items():
            part = self._tracer.start_span(name, inside, start_time=at)
            at += int(took_ms * 1e6)
            part.end(at)
        if work.failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(max(at, work.began_ns + int(work.took_ms * 1e6)))


class _Ids(RandomIdGenerator):
    """The ids that were told to the caller already, for the next span; then random ones."""

    given: Context | None = None

    def generate_trace_id(self) -> int:
        return self.given.trace if self.given else super().generate_trace_id()

    def generate_span_id(self) -> int:
        made = self.given.span if self.given else super().generate_span_id()
        self.given = None
        return made


class _Ended(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def _around(parent: Context | None) -> Around | None:
    if parent is None:
        return None
    said = SpanContext(parent.trace, parent.span, True, TraceFlags(int(parent.sampled)))
    return set_span_in_context(NonRecordingSpan(said))


def _resource() -> Resource:
    found = Resource.create()
    if str(found.attributes[SERVICE]).startswith(_UNNAMED):
        return found.merge(Resource({SERVICE: NAME}))
    return found
