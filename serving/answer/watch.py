"""The watch: counts every outcome, times it, writes its line and tells it to a trace.

What it tells holds ids, versions, words of our own and times: nothing of whom a question is about.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from cluster.errors import Refusal
from serving.answer import stages
from serving.answer.questions import NoModel, NotRecorded
from serving.observe import context, lines, meters, trip
from serving.observe.tallies import Tallies
from serving.observe.traces import Work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from features.arrivals import Outcome as Arrival
    from serving.answer.ticket import Outcome
    from serving.observe.lines import Lines
    from serving.observe.traces import Traces
    from serving.observe.trip import Trip

DECIDE = "decide"  # the span of a decision
REFUSED, REPLAYED, MODEL, FALLBACK = "refused", "replayed", "model", "fallback"
_OURS_TO_MEND = (NoModel, NotRecorded)
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


class Watch:
    """Watches one replica. For one thread: the loop that answers."""

    def __init__(self, says: Lines, traces: Traces | None) -> None:
        self.tallies = Tallies()
        self.lines = says
        self.traces = traces

    def decided(
        self,
        kind: str,
        outcome: Outcome,
        spent_ms: Mapping[str, float],
        *,
        id: str | None,
        is_alone: bool = True,
    ) -> None:
        """Tell what came of one question; times of one in a batch are not those of an answer."""
        said = told(kind, outcome, id)
        self._count(said, outcome, spent_ms if is_alone else {})
        at = trip.current()
        if at is not None:
            at.is_told = True
            self._trace(at, said, spent_ms)
        level = _level(outcome, said)
        if self.lines.wants(level):
            event = "refusal" if said["outcome"] == REFUSED else "decision"
            self.lines.say(level, event, said | {"ms": spent_ms} | traced(at))

    def arrived(self, outcome: Sequence[Arrival] | Refusal) -> None:
        """Count what came of events that were sent."""
        if not isinstance(outcome, Refusal):
            for each in outcome:
                self.tallies.add(meters.EVENTS, each.status)

    def close(self) -> None:
        """Send and write what is queued."""
        if self.traces:
            self.traces.close()
        self.lines.close()

    def _count(
        self, said: Mapping[str, Any], outcome: Outcome, spent_ms: Mapping[str, float]
    ) -> None:
        tallies, kind, what = self.tallies, said["kind"], said["outcome"]
        tallies.add(meters.DECISIONS, kind, what)
        for stage, spent in spent_ms.items():
            if stage != stages.TOTAL:
                tallies.observe(meters.STAGE, spent / 1000, stage)
        if stages.TOTAL in spent_ms:
            tallies.observe(meters.DECISION, spent_ms[stages.TOTAL] / 1000, what)
        if isinstance(outcome, Refusal):
            tallies.add(meters.REFUSALS, said["reason"])
        elif what != REPLAYED:
            tallies.add(meters.ROUTES, kind, said["route"])
            if what == FALLBACK:
                tallies.add(meters.FALLBACKS, kind, said["cause"])
            else:
                tallies.observe(meters.SCORE, outcome.body["probability"], said["target"])

    def _trace(self, at: Trip, said: Mapping[str, Any], spent_ms: Mapping[str, float]) -> None:
        if self.traces is None or at.context is None or not at.context.sampled:
            return
        parts = {stage: spent for stage, spent in spent_ms.items() if stage != stages.TOTAL}
        took = spent_ms.get(stages.TOTAL, sum(parts.values()))
        self.traces.tell(
            Work(
                name=DECIDE,
                context=context.within(at.context.trace, sampled=True),
                parent=at.context,
                began_ns=time.time_ns() - int(took * 1e6),
                took_ms=took,
                parts_ms=parts,
                attributes={f"funnelcast.{name}": value for name, value in said.items()},
                failed="reason" in said,
            )
        )


def told(kind: str, outcome: Outcome, id: str | None) -> dict[str, str]:
    """Return what may be told of an outcome, in words."""
    if isinstance(outcome, Refusal):
        said = {"kind": kind, "outcome": REFUSED, "reason": reason(outcome)}
        return said | {"decision": id} if id else said
    body = outcome.body
    why, basis = body["fallback"], body["basis"]
    answered = FALLBACK if why else MODEL
    said = {
        "decision": body["id"],
        "kind": kind,
        "outcome": REPLAYED if outcome.is_replayed else answered,
        "route": body["verdict"]["route"],
        "target": basis["target"].partition("@")[0],
        "model": basis["model"],
        "calibrator": basis["calibrator"],
        "policy": basis["policy"],
        "view": basis["view"],
    }
    return said | {"cause": why["cause"]} if why else said


def reason(refusal: Refusal) -> str:
    """Return why a question was refused, in a word: that of its class.

    >>> reason(NoModel(rule="", value="", remedy=""))
    'no_model'
    """
    if type(refusal) is Refusal:
        return "question"
    return _CAPITAL.sub("_", type(refusal).__name__).lower()


def traced(at: Trip | None) -> dict[str, str]:
    """Return the trace of a request as a line has it."""
    return {"trace": at.context.trace_id} if at is not None and at.context is not None else {}


def _level(outcome: Outcome, said: Mapping[str, str]) -> int:
    if isinstance(outcome, _OURS_TO_MEND):
        return lines.ERROR
    return lines.WARNING if said["outcome"] == FALLBACK else lines.INFO
