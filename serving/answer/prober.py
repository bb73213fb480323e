"""The prober: asks a model that failed once more, apart from all requests."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from features.online import warm
from serving.answer import gather
from serving.answer.questions import Question
from serving.decide import decide

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.answer.maker import Maker
    from serving.slots.active import Slots
    from serving.slots.slot import Slot

EVERY_S = 0.1
SLOWEST_S = 0.1  # a probe that takes longer has failed


class Prober:
    """Looks at the breakers of the slots in force, on a thread of its own."""

    def __init__(self, maker: Maker, slots: Callable[[], Slots]) -> None:
        self._maker = maker
        self._slots = slots
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="prober", daemon=True).start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            for slot in self._slots().by_kind.values():
                if self._maker.breaker(slot).probe_due(time.monotonic()):
                    # a probe may never return: it must not keep this thread
                    threading.Thread(target=self._probe, args=(slot,), daemon=True).start()

    def _probe(self, slot: Slot) -> None:
        began = time.monotonic()
        try:
            _ask(slot)
        except Exception:  # the model may raise anything
            is_well = False
        else:
            is_well = time.monotonic() - began <= SLOWEST_S
        self._maker.breaker(slot).probed(time.monotonic(), well=is_well)


def _ask(slot: Slot) -> None:
    """Let a slot decide about a made-up lead or deal."""
    *_, history = warm.histories(slot.target)
    asked = Question(kind=slot.target.entity, key=warm.KEY)
    cases = gather.cases_at(slot, asked, history, warm.AT)
    decide(slot.model, slot.policy, cases, warm.AT, basis=slot.basis)
