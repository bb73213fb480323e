"""The facts of a service as gauges: what answers, what waits, how fresh its features are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.online.base import REF as BASE
from serving.observe import meters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from serving.answer.service import DecisionService
    from serving.observe.tallies import Fact
    from serving.slots.watcher import Watcher


def service(of: DecisionService) -> Iterator[Fact]:
    """Yield what a service knows of itself."""
    yield meters.QUEUE, (), of.queued
    yield meters.JOURNAL, (), of.workspace.journal.waiting
    yield meters.CONSENT_LEADS, (), len(of.keeper.ledger)
    yield meters.CONSENT_AGE, (), of.keeper.age_s
    for kind, slot in of.slots.by_kind.items():
        yield meters.BREAKER, (kind,), of.breaker(slot).is_open
    for kind in of.slots.by_kind:
        arms = of.slots.arms.get(kind)
        yield meters.SHARE, (kind,), arms.share if arms else 0.0
    yield meters.MIRRORED, ("made",), of.mirror.made
    yield meters.MIRRORED, ("dropped",), of.mirror.dropped
    yield meters.JUDGED_AWAY, (), of.judge.failures
    yield meters.LINES, ("written",), of.watch.lines.written
    yield meters.LINES, ("dropped",), of.watch.lines.dropped
    if of.watch.traces is not None:
        for outcome, count in of.watch.traces.counts.items():
            yield meters.SPANS, (outcome,), count


def slots(watcher: Watcher) -> Iterator[Fact]:
    """Yield what answers for which kind, since when, and what is not taken."""
    current = watcher.current
    for kind, slot in current.by_kind.items():
        basis = slot.basis
        target = basis.target.partition("@")[0]
        ids = (basis.model, basis.calibrator, basis.policy, basis.view, basis.code)
        yield meters.MODEL, (kind, target, *ids), 1
        if kind in watcher.loaded_at:
            yield meters.LOADED, (kind,), watcher.loaded_at[kind].timestamp()
    yield meters.MISSING, (), len(current.missing)
    yield meters.REFUSED, (), len(watcher.refused)
    yield meters.LOOKS_FAILED, (), watcher.errors
    if watcher.lag_s is not None:
        yield meters.LAG, (), watcher.lag_s


def freshness(of: DecisionService, now: datetime) -> Iterator[Fact]:
    """Yield how old the newest event is that features see, and their base."""
    newest = of.store.newest()
    if newest is not None:
        yield meters.EVENT_AGE, (), (now - newest).total_seconds()
    base = of.workspace.refs.get(BASE)
    if base is not None:
        yield meters.BASE_AGE, (), (now - base.moved_at).total_seconds()
