"""Snapshots in the text format of Prometheus (version 0.0.4). Pure."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from serving.observe.meters import METERS, REPLICA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from serving.observe.meters import Meter
    from serving.observe.tallies import Snapshot

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(snapshots: Mapping[str, Snapshot]) -> str:
    """Return the samples of replicas by their name; what no meter declares is left out."""
    lines: list[str] = []
    for meter in METERS.values():
        samples = [line for n, each in sorted(snapshots.items()) for line in _of(meter, n, each)]
        if samples:
            lines += [f"# HELP {meter.name} {meter.help}", f"# TYPE {meter.name} {meter.kind}"]
            lines += samples
    return "\n".join(lines) + "\n"


def _of(meter: Meter, replica: str, snapshot: Snapshot) -> Iterator[str]:
    own = ((REPLICA, replica),) if meter.by_replica else ()
    for values, value in snapshot.get(meter.name, ()):
        labels = (*zip(meter.labels, values, strict=True), *own)
        if isinstance(value, list):
            yield from _buckets(meter, labels, value)
        else:
            yield f"{meter.name}{_braced(labels)} {_number(value)}"


def _buckets(
    meter: Meter, labels: tuple[tuple[str, str], ...], value: Sequence[float]
) -> Iterator[str]:
    *counts, total = value
    seen = list(accumulate(counts))
    bounds = [*(str(float(bound)) for bound in meter.bounds), "+Inf"]  # as Prometheus 3 spells it
    for bound, count in zip(bounds, seen, strict=True):
        yield f"{meter.name}_bucket{_braced((*labels, ('le', bound)))} {_number(count)}"
    yield f"{meter.name}_sum{_braced(labels)} {_number(total)}"
    yield f"{meter.name}_count{_braced(labels)} {_number(seen[-1])}"


def _braced(labels: Sequence[tuple[str, str]]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
