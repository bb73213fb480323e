"""Tallies: what one process has counted, and a snapshot of that as plain JSON values. Pure."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from serving.observe.meters import MOST_SERIES, OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from serving.observe.meters import Meter

type Labels = tuple[str, ...]
# of each meter: values of its labels, with a number or (counts of each bucket, sum) of a histogram
type Samples = list[tuple[list[str], float | list[float]]]
type Snapshot = dict[str, Samples]
type Fact = tuple[Meter, Labels, float]


class Tallies:
    """Counts and distributions. One thread writes, any reads."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[Labels, float]] = {}
        self._spread: dict[str, dict[Labels, list[float]]] = {}

    def add(self, meter: Meter, *labels: str, by: float = 1) -> None:
        """Count."""
        counts = self._counts.setdefault(meter.name, {})
        if labels not in counts:
            labels = bounded(counts, labels)
        counts[labels] = counts.get(labels, 0) + by

    def observe(self, meter: Meter, value: float, *labels: str) -> None:
        """Add one value to a distribution."""
        spread = self._spread.setdefault(meter.name, {})
        buckets = spread.get(labels)
        if buckets is None:
            labels = bounded(spread, labels)
            buckets = spread.setdefault(labels, [0.0] * (len(meter.bounds) + 2))
        buckets[bisect_left(meter.bounds, value)] += 1
        buckets[-1] += value

    def snapshot(self, facts: Iterable[Fact] = ()) -> Snapshot:
        """Return what was counted so far, and facts beside it."""
        made: Snapshot = {}
        for name, counts in list(self._counts.items()):
            made[name] = [(list(labels), count) for labels, count in list(counts.items())]
        for name, spread in list(self._spread.items()):
            made[name] = [(list(labels), list(each)) for labels, each in list(spread.items())]
        for meter, labels, value in facts:
            made.setdefault(meter.name, []).append((list(labels), value))
        return made


def bounded(series: Mapping[Labels, object], labels: Labels) -> Labels:
    """Return the labels for a new series, or those of all others when there are too many."""
    return labels if len(series) < MOST_SERIES else (OTHER,) * len(labels)
