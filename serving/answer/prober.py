"""The prober: asks a model that failed once more, apart from all requests."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from features.online import warm
from serving.answer import breaker, gather
from serving.answer.questions import Question
from serving.slots import marking
from serving.slots.inflight import during

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.answer.maker import Maker
    from serving.slots.active import Slots
    from serving.slots.inflight import Mark, Marks
    from serving.slots.slot import Slot

_LOG = logging.getLogger(__name__)
EVERY_S = 0.1
MOST_OUT = 8  # probes that may be under way, or lost


class Prober:
    """Looks at the breakers of the slots in force, on a thread of its own."""

    def __init__(
        self, maker: Maker, slots: Callable[[], Slots], marks: Marks | None = None
    ) -> None:
        self._maker = maker
        self._marks = marks
        self._slots = slots
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._out = 0  # probes that have not come back
        threading.Thread(target=self._run, name="prober", daemon=True).start()

    @property
    def is_spent(self) -> bool:
        """Are so many probes lost that the process should be replaced?"""
        return self._out >= MOST_OUT

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            slots = self._slots()
            for slot in slots.answering:
                if not self.is_spent and self._maker.breaker(slot).probe_due(time.monotonic()):
                    self._send(slot, slots)

    def _send(self, slot: Slot, slots: Slots) -> None:
        # a probe may never return: it must not keep this thread
        probe = threading.Thread(
            target=self._probe, args=(slot, marking.of_slot(slot, slots)), name="probe", daemon=True
        )
        self._count(1)
        try:
            probe.start()
        except RuntimeError as error:  # the machine has no thread left: the next pause may help
            _LOG.warning("a probe must have a thread, got '%s': trying on", error)
            self._count(-1)
            self._maker.breaker(slot).probed(time.monotonic(), well=False)

    def _count(self, more: int) -> None:
        with self._lock:
            self._out += more

    def _probe(self, slot: Slot, mark: Mark | None) -> None:
        began = time.monotonic()
        try:
            with during(self._marks, mark):
                _ask(slot)
        except Exception:  # the model may raise anything
            is_well = False
        else:
            is_well = time.monotonic() - began <= breaker.SLOWEST_S
        self._count(-1)
        self._maker.breaker(slot).probed(time.monotonic(), well=is_well)


def _ask(slot: Slot) -> None:
    """Let a slot decide about a made-up lead or deal."""
    *_, history = warm.histories(slot.target)
    asked = Question(kind=slot.target.entity, key=warm.KEY)
    cases = gather.cases_at(slot, asked, history, warm.AT)
    slot.decide(cases, warm.AT)
