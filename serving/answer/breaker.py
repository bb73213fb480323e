"""The breaker of one model: closed while it answers, open while it does not. Pure: time is given.

It opens on IN_A_ROW failures one after the other, or when half of the last WINDOW calls failed.
While it is open the rules answer; a probe apart from all requests is due after a pause, which
doubles up to LONGEST_S with every probe that fails, and one that succeeds closes it. For a probe
that does not come back another is due after LONGEST_S.

A caller's deadline says nothing of the model by itself: a call counts once, when it comes back, as
a failure if it raised, or if a caller gave it up and it took longer than SLOWEST_S.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from threading import Lock

IN_A_ROW = 3
WINDOW = 20  # calls
SHARE = 0.5  # of them
FIRST_S, LONGEST_S = 1.0, 8.0  # pauses before a probe
SLOWEST_S = 0.1  # a call that callers give up, or a probe, that takes longer has failed


@dataclass(kw_only=True)
class Breaker:
    """Safe to share between threads."""

    _calls: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))  # did it answer?
    _row: int = 0  # failures since the last answer
    _pause_s: float = FIRST_S
    _probe_at: float | None = None  # when a probe is due; None while closed
    _lock: Lock = field(default_factory=Lock)

    @property
    def is_open(self) -> bool:
        """Is the model not to be asked?"""
        return self._probe_at is not None

    def answered(self) -> None:
        """Note that the model answered a request."""
        with self._lock:
            self._calls.append(True)
            self._row = 0

    def failed(self, now: float) -> bool:
        """Note that it did not; returns whether that opened the breaker."""
        with self._lock:
            self._calls.append(False)
            self._row += 1
            if self.is_open or not self._is_too_much():
                return False
            self._probe_at = now + self._pause_s
            return True

    def trip(self, now: float) -> None:
        """Open at once: a call does not come back."""
        with self._lock:
            if not self.is_open:
                self._probe_at = now + self._pause_s

    def probe_due(self, now: float) -> bool:
        """Is it time to probe? True once per pause: whoever is told so probes."""
        with self._lock:
            if self._probe_at is None or now < self._probe_at:
                return False
            self._probe_at = now + LONGEST_S  # this one may never come back
            return True

    def probed(self, now: float, *, well: bool) -> None:
        """Note what came of a probe; nothing if another has closed the breaker meanwhile."""
        with self._lock:
            if not self.is_open:
                return
            self._pause_s = FIRST_S if well else min(2 * self._pause_s, LONGEST_S)
            self._probe_at = None if well else now + self._pause_s
            if well:
                self._calls.clear()
                self._row = 0

    def _is_too_much(self) -> bool:
        failures = self._calls.count(False)
        is_half = len(self._calls) == WINDOW and failures >= SHARE * WINDOW
        return self._row >= IN_A_ROW or is_half


@dataclass(kw_only=True)
class Call:
    """One call of a model, for one ticket or several. The thread that makes it says its end."""

    breaker: Breaker
    began: float
    is_given_up: bool = False  # did a caller stop waiting for it?
    is_back: bool = False

    def came_back(self, now: float, *, well: bool) -> None:
        """Count it, as an answer or as a failure."""
        self.is_back = True
        if well and not (self.is_given_up and now - self.began > SLOWEST_S):
            self.breaker.answered()
        else:
            self.breaker.failed(now)

    def stuck(self, now: float) -> None:
        """Open the breaker, unless the call came back after all."""
        if not self.is_back:
            self.breaker.trip(now)
