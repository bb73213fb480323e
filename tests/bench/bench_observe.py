"""What it costs a decision to be counted, written and traced, beside one that is only counted.

On the loop: how long the thread that answers is kept. In all: processor time, with that of the
threads that write and send. Four watches take turns in one run; medians of the rounds. Spans go to
a sender that makes them and keeps none. The last line is one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from cluster.settings import LogSettings
from serving.answer.ticket import Answered
from serving.answer.watch import Watch
from serving.observe import trip
from serving.observe.lines import Lines
from serving.observe.otlp import Collector
from serving.observe.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

ROUNDS, DECISIONS = 40, 250
BODY = {
    "id": "0675783903854434982f66fea2b36482", "fallback": None, "probability": 0.4,
    "verdict": {"route": "automated_outreach"},
    "basis": {
        "target": "lead_qualification@96458b29fe95cdfd", "model": "d8" * 32,
        "calibrator": "3f" * 32, "policy": "lead_routing@1-963f048ff883",
        "view": "lead_engagement@f4467b0de3775361", "code": "ab" * 32,
    },
}  # fmt: skip
SPENT_MS = {
    "parse": 0.114, "queue": 0.206, "features": 1.174, "score": 0.375, "explain": 0.429,
    "policy": 0.035, "journal": 1.209, "total": 3.753,
}  # fmt: skip


class _Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def main() -> None:
    """Measure and print the figures."""
    with tempfile.TemporaryDirectory(prefix="bench-observe-") as folder:
        watches = {
            "counted": _watch(Path(folder), "none", None),
            "lines": _watch(Path(folder), "info", None),
            "traced": _watch(Path(folder), "none", Traces(Collector(_Nowhere()))),
        }
        told: dict[str, list[tuple[float, float]]] = {name: [] for name in watches}
        for _ in range(ROUNDS):
            for name, each in watches.items():
                told[name].append(_round(each))
        for each in watches.values():
            each.close()
    figures: dict[str, Any] = {}
    for name, found in told.items():
        on_loop, in_all = zip(*found, strict=True)
        figures[f"{name}_loop_us"] = round(statistics.median(on_loop), 1)
        figures[f"{name}_processor_us"] = round(statistics.median(in_all), 1)
    sys.stdout.write(json.dumps(figures) + "\n")


def _watch(folder: Path, level: Any, traces: Traces | None) -> Watch:
    log = LogSettings(level=level, file=folder / f"{level}.jsonl")
    return Watch(Lines(log, replica=level), traces)


def _round(watch: Watch) -> tuple[float, float]:
    """Return µs per decision: on the loop, and of the processor in all."""
    outcome, traces = Answered(body=BODY), watch.traces
    began, spent = time.perf_counter(), time.process_time()
    for _ in range(DECISIONS):
        trip.begin(traces.begin(None) if traces else None)
        watch.decided("lead", outcome, SPENT_MS, id=None)
    on_loop = time.perf_counter() - began
    while watch.lines._groups.waiting or (traces and traces._groups.waiting):
        time.sleep(0.01)
    time.sleep(0.05)  # for the group that is in hand
    in_all = time.process_time() - spent
    return on_loop / DECISIONS * 1e6, in_all / DECISIONS * 1e6


if __name__ == "__main__":
    main()
