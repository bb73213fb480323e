"""Traces: W3C context, spans at a real collector, and no harm from one that is dead or hangs."""

from __future__ import annotations

import time

import pytest

from serving.observe import context, traces
from serving.observe.context import Context
from serving.observe.traces import Traces, Work, open_traces
from tests.serving.collecting import collector, dead, hanging

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (HEADER, True),
        (HEADER[:-1] + "0", False),
        (HEADER[:-2] + "03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-will-be", True),  # of a version to come
    ],
)
def test_a_context_is_read(header: str, sampled: bool) -> None:
    """And of the same trace."""
    found = context.read(header)
    assert found == Context(trace=int(TRACE, 16), span=int(SPAN, 16), sampled=sampled)
    assert context.read(str(found)) == found


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        HEADER.upper(),
        HEADER + "-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        "00-" + "é" * 32 + f"-{SPAN}-01",
    ],
)
def test_what_breaks_the_rules_is_no_context(header: str | None) -> None:
    """A new trace begins then."""
    assert context.read(header) is None


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({ENDPOINT: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_on_by_the_standard_variables(environ: dict[str, str], on: bool) -> None:
    """And off without them."""
    assert traces.is_on(environ) is on
    if not on:
        assert open_traces(environ) is None


def _work(made: Traces, parent: Context | None = None) -> Work:
    return Work(
        name="decide",
        context=made.begin(parent),
        parent=parent,
        began_ns=1_790_000_000_000_000_000,
        took_ms=5.0,
        parts_ms={"parse": 0.5, "score": 2.25, "journal": 1.0},
        attributes={"funnelcast.decision": "d-1"},
    )


def _opened(monkeypatch: pytest.MonkeyPatch, url: str, **more: str) -> Traces:
    for name, value in {ENDPOINT: url, **more}.items():
        monkeypatch.setenv(name, value)
    found = open_traces({ENDPOINT: url, **more})
    assert found is not None
    return found


def test_spans_reach_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the caller's trace, parts one after the other within the whole, with what is told."""
    with collector() as (url, taken):
        made = _opened(monkeypatch, url, OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
        work = _work(made, context.read(HEADER))
        made.tell(work)
        made.close()
    spans = {span.name: span for span in taken.taken}
    assert set(spans) == {"decide", "parse", "score", "journal"}
    whole = spans["decide"]
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (TRACE, SPAN)
    assert whole.span_id.hex() == f"{work.context.span:016x}", "as the caller was told"
    assert whole.end_time_unix_nano - whole.start_time_unix_nano == 5_000_000
    assert {s.parent_span_id for n, s in spans.items() if n != "decide"} == {whole.span_id}
    assert {s.trace_id for s in spans.values()} == {whole.trace_id}
    assert spans["score"].start_time_unix_nano == spans["parse"].end_time_unix_nano
    assert spans["score"].end_time_unix_nano - spans["score"].start_time_unix_nano == 2_250_000
    assert [(a.key, a.value.string_value) for a in whole.attributes] == [
        ("funnelcast.decision", "d-1")
    ]
    assert taken.resources[0]["service.name"] == "funnelcast"
    assert made.counts == {"sent": 4, "failed": 0, "dropped": 0}


def test_the_sampler_is_that_of_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of new traces by default ratio 0; those that the caller samples, and a name of ours."""
    given = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    with collector() as (url, taken):
        made = _opened(monkeypatch, url, OTEL_SERVICE_NAME="leads", **given)
        made.tell(_work(made))
        made.tell(_work(made, context.read(HEADER)))
        made.tell(_work(made, context.read(HEADER[:-1] + "0")))
        made.close()
    assert {span.trace_id.hex() for span in taken.taken} == {TRACE}
    assert len(taken.taken) == 4
    assert taken.resources[0]["service.name"] == "leads"


def _slowest(made: Traces, count: int) -> float:
    """Return the longest that telling took, in seconds."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        made.tell(_work(made))
        found.append(time.perf_counter() - began)
    return sorted(found)[int(count * 0.99)]


def test_a_dead_collector_costs_nobody_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telling does not wait, and what was not taken is counted."""
    made = _opened(monkeypatch, dead(), OTEL_EXPORTER_OTLP_TIMEOUT="0.2")
    assert _slowest(made, 200) < 0.05
    made.close()
    until = time.monotonic() + 10
    while made.counts["failed"] < 800 and time.monotonic() < until:
        time.sleep(0.02)
    assert made.counts == {"sent": 0, "failed": 800, "dropped": 0}


def test_a_collector_that_hangs_keeps_neither_memory_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is too much is dropped and counted; closing waits for a short while."""
    monkeypatch.setattr(traces, "MOST_WAITING", 100)
    monkeypatch.setattr(traces, "CLOSE_S", 0.3)
    with hanging() as url:
        made = _opened(monkeypatch, url, OTEL_EXPORTER_OTLP_TIMEOUT="5")
        assert _slowest(made, 1_000) < 0.05
        assert made._groups.waiting <= 100
        assert made.counts["dropped"] >= 4 * (1_000 - 100 - 2 * traces.TOGETHER)
        began = time.monotonic()
        made.close()
        assert time.monotonic() - began < 3.0


def test_without_the_bound_it_would_keep_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of the test above."""
    monkeypatch.setattr(traces, "MOST_WAITING", 10**9)
    monkeypatch.setattr(traces, "CLOSE_S", 0.1)
    with hanging() as url:
        made = _opened(monkeypatch, url, OTEL_EXPORTER_OTLP_TIMEOUT="1")
        _slowest(made, 1_000)
        assert made._groups.waiting > 100
        made.close()
