"""Sends the plans of the serving bench, and keeps what the machine was like meanwhile."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.bench import load, serving_disk, serving_processor

if TYPE_CHECKING:
    from pathlib import Path

TRIES = 3  # of a run, until the disk does not stall meanwhile

type Figures = dict[str, Any]


@dataclass(kw_only=True)
class Sender:
    """Sends plans, each with idempotency keys of its own, and counts what was answered."""

    folder: Path | None = None  # on the disk that is watched meanwhile
    answered: int = 0  # with 200, those of warm-ups too
    unsure: int = 0  # requests of which nothing was heard, or that it had no time
    samples: list[load.Answer] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)  # of the writer beside
    runs: int = 0
    stalled: int = 0  # runs
    spent_ms: list[float] = field(default_factory=list)  # of the work beside

    def __call__(self, plan: load.Plan, tries: int = TRIES) -> load.Result:
        """Send until the disk does not stall meanwhile, or so often."""
        if self.folder is None:
            return self._send(plan)
        for _ in range(tries):
            with serving_disk.watched(self.folder) as disk:
                result = self._send(plan)
            self.runs += 1
            self.stalled += disk.stalled
            self.waits_ms += disk.waits_ms
            is_good = plan.give_up is not None and result.share >= 1 - plan.give_up
            if is_good or not disk.stalled:
                break
        return result

    @property
    def processor(self) -> Figures:
        """What the processor was like."""
        return serving_processor.told(self.spent_ms)

    @property
    def disk(self) -> Figures:
        """What the disk was like."""
        return {"runs": self.runs, "stalled_runs": self.stalled, **serving_disk.told(self.waits_ms)}

    def _send(self, plan: load.Plan) -> load.Result:
        """Send from a process apart."""
        with serving_processor.watched() as processor:
            result = load.apart(replace(plan, key=uuid.uuid4().hex))
        self.spent_ms += processor.spent_ms
        self.answered += result.statuses.get(200, 0) + result.warmup_statuses.get(200, 0)
        for status in (0, 503):  # 503: its record may be there, yet not in time
            self.unsure += result.warmup_statuses.get(status, 0)
        self.unsure += sum(result.errors.values()) + result.statuses.get(503, 0)
        self.samples += result.samples
        return result
