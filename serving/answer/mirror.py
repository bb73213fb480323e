"""The mirror: decisions that a candidate makes too, after the answer, and nobody sees.

It has a thread of its own, and of what comes too fast some is let go: an answer never waits for it.
What came out is journalled beside the decision that it is to be compared with.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster.journal import Draft
from serving.answer.recorder import said
from serving.releases import assignment
from serving.releases.evidence import CANDIDATE, STABLE
from serving.slots.inflight import during
from serving.slots.marking import of_draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from cluster.journal import Journal
    from serving.answer.recorder import Made
    from serving.slots.active import Draw
    from serving.slots.inflight import Marks
    from serving.slots.slot import Slot

KIND = "shadow"  # of a journal entry
MOST = 256  # that wait
CLOSE_S = 2.0
HUNG_S = 2.0  # a copy takes some milliseconds
MOST_LOST = 4  # threads that may be lost in a call that does not return


class _Copy(NamedTuple):
    """One decision, and a slot that is to make it too."""

    made: Made
    draw: Draw
    arm: str
    slot: Slot


class Mirror:
    """Makes decisions again. Safe to share between threads."""

    def __init__(
        self,
        journal: Journal,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        marks: Marks | None = None,
    ) -> None:
        self._journal = journal
        self._marks = marks
        self._clock = clock
        self._monotonic = monotonic
        self._queue: queue.Queue[_Copy | None] = queue.Queue(MOST)
        self._stop = threading.Event()
        self._replacing = threading.Lock()
        self.made = 0  # copies that are journalled
        self.dropped = 0  # copies that nobody had time for
        self._lost = 0  # threads that did not come back
        self._busy_since: float | None = None
        self._thread = self._start()

    def offer(self, made: Made) -> None:
        """Let others make a decision too, if the release says so and there is room."""
        self._replace_hung()
        for copy in _copies(made):
            try:
                self._queue.put_nowait(copy)
            except queue.Full:
                self.dropped += 1

    def close(self) -> None:
        """End, without what still waits."""
        self._stop.set()
        with suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(CLOSE_S)

    def _start(self) -> threading.Thread:
        self._busy_since = None
        thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        thread.start()
        return thread

    def _replace_hung(self) -> None:
        """Start another thread if the one there does not come back from a copy."""
        since = self._busy_since
        if since is not None and self._monotonic() - since > HUNG_S and self._lost < MOST_LOST:
            with self._replacing:
                if self._busy_since == since:
                    self._lost += 1
                    self.dropped += 1
                    self._thread = self._start()

    def _run(self) -> None:
        while (copy := self._queue.get()) is not None and not self._stop.is_set():
            began = self._busy_since = self._monotonic()
            self._make(copy)
            if self._busy_since != began:  # another goes on in its place
                return
            self._busy_since = None

    def _make(self, copy: _Copy) -> None:
        try:
            id = f"{KIND}:{copy.made.ticket.id}:{copy.arm}"  # a retry adds none
            draft = Draft.of(KIND, self._body(copy), id=id, now=self._clock())
            self._journal.append_all([draft])
            self.made += 1
        except Exception:  # an answer does not depend on it, and the next copy may do better
            self.dropped += 1

    def _body(self, copy: _Copy) -> dict[str, Any]:
        """Return what is journalled; whatever the candidate raises is what it did."""
        began = self._monotonic()
        decision, found = copy.made.decision, copy.made.found
        cases = found.cases if found else ()
        chance, route, failed = None, None, None
        try:
            mine = [case for case in cases if case.entity == decision.entity]  # the same lead
            with during(self._marks, of_draw(copy.slot, copy.draw, copy.arm)):
                (again,) = copy.slot.decide(mine, decision.decided_at, reasons=False)
            chance, route = again.probability, again.verdict.route
        except Exception as error:
            failed = said(error)
        return {
            "decision": copy.made.ticket.id,
            "entity": decision.entity,
            "account": decision.account,
            "shard": found.seen.shard if found else None,
            "time": decision.time.isoformat(),
            "release": {**vars(copy.draw), "arm": copy.arm},
            "stable": {"probability": decision.probability, "route": decision.verdict.route},
            "shadow": {"probability": chance, "route": route, "basis": dict(vars(copy.slot.basis))},
            "failed": failed,
            "took_ms": round((self._monotonic() - began) * 1000, 3),
        }


def _copies(made: Made) -> Iterator[_Copy]:
    """Yield who is to make a decision too: of the stable arm alone, and by the decision's id."""
    arms, draw = made.ticket.arms, made.ticket.draw
    if arms is None or draw is None or draw.arm != STABLE or not arms.mirror:
        return
    place = assignment.place("mirror", arms.release, made.ticket.id)
    if place >= arms.mirror * assignment.PLACES:
        return
    if arms.candidate is not None:
        yield _Copy(made, draw, CANDIDATE, arms.candidate)
    for number, slot in enumerate(arms.shadows, start=1):
        yield _Copy(made, draw, f"shadow-{number}", slot)
