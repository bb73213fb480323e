"""Where the time of an answer went: for its own trace, and summed up for the metrics."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PARSE, QUEUE, FEATURES = "parse", "queue", "features"
SCORE, EXPLAIN, POLICY = "score", "explain", "policy"
JOURNAL, TOTAL = "journal", "total"
STAGES = (PARSE, QUEUE, FEATURES, SCORE, EXPLAIN, POLICY, JOURNAL, TOTAL)
BOUNDS_MS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)


def server_timing(spent_ms: Mapping[str, float]) -> str:
    """Return the header Server-Timing (W3C) of what each stage took, in milliseconds.

    >>> server_timing({"parse": 0.05, "score": 1.25})
    'parse;dur=0.050, score;dur=1.250'
    """
    return ", ".join(f"{stage};dur={spent:.3f}" for stage, spent in spent_ms.items())


@dataclass(kw_only=True)
class Histogram:
    """How often something took how long."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    total_ms: float = 0.0

    def observe(self, spent_ms: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS_MS, spent_ms)] += 1
        self.total_ms += spent_ms


@dataclass(kw_only=True)
class Meters:
    """What one replica has done. One thread writes, any reads."""

    stages: dict[str, Histogram] = field(
        default_factory=lambda: {stage: Histogram() for stage in STAGES}
    )
    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)  # by kind and what came out

    def timed(self, spent_ms: Mapping[str, float]) -> None:
        """Count what the stages of one answer took."""
        for stage, spent in spent_ms.items():
            self.stages[stage].observe(spent)

    def came(self, kind: str, outcome: str) -> None:
        """Count one outcome: a cause of a fallback, "model", "replayed", "refused" or "shed"."""
        place = kind, outcome
        self.outcomes[place] = self.outcomes.get(place, 0) + 1


def exposition(meters: Meters, facts: Mapping[str, float]) -> str:
    """Return the meters in the text format of Prometheus; `facts` are gauges by name."""
    name = "funnelcast_stage_seconds"
    lines = [f"# HELP {name} Time of an answer, by stage.", f"# TYPE {name} histogram"]
    for stage, histogram in meters.stages.items():
        lines += _buckets(name, stage, histogram)
    name = "funnelcast_decisions_total"
    lines += [f"# HELP {name} Decisions, by what came out.", f"# TYPE {name} counter"]
    for (kind, outcome), count in sorted(meters.outcomes.items()):
        lines.append(f'{name}{{kind="{kind}",outcome="{outcome}"}} {count}')
    for name, value in facts.items():
        lines += [f"# TYPE funnelcast_{name} gauge", f"funnelcast_{name} {value:g}"]
    return "\n".join(lines) + "\n"


def _buckets(name: str, stage: str, histogram: Histogram) -> list[str]:
    lines, seen = [], 0
    bounds = [*(f"{bound / 1000:g}" for bound in BOUNDS_MS), "+Inf"]
    for bound, count in zip(bounds, histogram.counts, strict=True):
        seen += count
        lines.append(f'{name}_bucket{{stage="{stage}",le="{bound}"}} {seen}')
    lines.append(f'{name}_sum{{stage="{stage}"}} {histogram.total_ms / 1000:.6f}')
    lines.append(f'{name}_count{{stage="{stage}"}} {seen}')
    return lines
