"""The keys of an issuer, kept: a thread fetches them, callers read what it has.

They are fetched again before `cache_s` is over, and when a token names a key that is not there;
never two fetches within `refetch_s`, whatever tokens come. While an issuer is down its last keys
work for `stale_s` more, then nothing is accepted. Only a caller whose key is not there waits, at
most `wait_s`.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.access import jwksfetch
from cluster.access.principal import Unauthenticated, Unavailable
from cluster.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.access.issuers import IssuerSettings
    from cluster.access.jwks import Keys, PublicKey

_LOG = logging.getLogger(__name__)
REFRESH = 0.8  # of cache_s
MOST_WAITING = 8  # callers at once; the next ones are refused right away


@dataclass(frozen=True, kw_only=True)
class Found:
    """A key, and the generation of keys it is of."""

    key: PublicKey
    generation: int


@dataclass(frozen=True, kw_only=True)
class _Held:
    keys: Keys
    fetched: float
    generation: int  # grows when keys change, not when the same ones come again


class Jwks:
    """The keys of one issuer. `clock` gives monotonic seconds. Safe to share among threads."""

    def __init__(
        self, settings: IssuerSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self.fetches = 0  # so far
        self.error: Refusal | None = None  # why the newest fetch failed
        self._clock = clock
        self._held: _Held | None = None  # replaced as a whole, read without the lock
        self._tried: float | None = None
        self._busy = self._wanted = self._closing = False
        self._rounds = self._waiting = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self._run, name=f"keys of {settings.name}", daemon=True
        )

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop; waits for a fetch under way, which its time limit bounds."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(self.settings.timeout_s + 1.0)

    @property
    def generation(self) -> int | None:
        """Which keys are in force; None if none are, or they are too old."""
        held = self._held
        return held.generation if held is not None and not self._is_over(held) else None

    def find(self, kid: str | None, algorithm: str) -> Found | Unauthenticated | Unavailable:
        """Return the key named `kid` for `algorithm`; one that is not there is fetched for."""
        found = self._look(kid, algorithm)
        if not isinstance(found, Refusal):
            return found
        with self._changed:
            if not self._wanted:  # a flood wakes the thread once
                self._wanted = True
                self._changed.notify_all()
            if not self._pays_to_wait():
                return self._look(kid, algorithm)
            self._wait()
        return self._look(kid, algorithm)

    def _look(self, kid: str | None, algorithm: str) -> Found | Unauthenticated | Unavailable:
        held, name = self._held, self.settings.name
        if held is None or self._is_over(held):
            return Unavailable(
                rule=f"the keys of issuer '{name}' must have been fetched lately",
                value=self.error.value if self.error is not None else "none yet",
                remedy="try again in a few seconds",
            )
        key = held.keys.find(kid, algorithm)
        if key is not None:
            return Found(key=key, generation=held.generation)
        return Unauthenticated(
            rule=f"a token must be signed with a key that issuer '{name}' publishes",
            value="another key or algorithm",
            remedy="get a new token",
        )

    def _is_over(self, held: _Held) -> bool:
        return self._clock() - held.fetched > self.settings.cache_s + self.settings.stale_s

    def _pays_to_wait(self) -> bool:
        soon = self._busy or self._pause() < self.settings.wait_s
        return soon and self._waiting < MOST_WAITING and not self._closing

    def _wait(self) -> None:
        until = self._rounds + 1
        self._waiting += 1
        try:
            self._changed.wait_for(
                lambda: self._rounds >= until or self._closing, self.settings.wait_s
            )
        finally:
            self._waiting -= 1

    def _pause(self) -> float:
        """Seconds until the next fetch may begin and is due."""
        if self._tried is None:
            return 0.0
        now, held = self._clock(), self._held
        due = self._tried if held is None else held.fetched + REFRESH * self.settings.cache_s
        return max(self._tried + self.settings.refetch_s, now if self._wanted else due) - now

    def _run(self) -> None:
        while self._turn():
            self._settle(jwksfetch.fetch(self.settings))

    def _turn(self) -> bool:
        with self._changed:
            while not self._closing and (pause := self._pause()) > 0.0:
                self._changed.wait(pause)
            self._tried, self._busy, self._wanted = self._clock(), True, False
            return not self._closing

    def _settle(self, fetched: Keys | Refusal) -> None:
        with self._changed:
            self.fetches += 1
            self._tell(fetched)
            if isinstance(fetched, Refusal):
                self.error = fetched
            else:
                self.error, self._held = None, self._next(fetched)
            self._busy = False
            self._rounds += 1
            self._changed.notify_all()

    def _next(self, keys: Keys) -> _Held:
        old = self._held
        same = old is not None and old.keys.marks == keys.marks
        generation = 0 if old is None else old.generation + (not same)
        return _Held(keys=keys, fetched=self._clock(), generation=generation)

    def _tell(self, fetched: Keys | Refusal) -> None:
        if isinstance(fetched, Refusal) and self.error is None:
            _LOG.warning("issuer '%s': %s", self.settings.name, fetched)
        elif not isinstance(fetched, Refusal) and not fetched.listed:
            _LOG.warning("issuer '%s' publishes no key that may be used", self.settings.name)
        elif not isinstance(fetched, Refusal) and self.error is not None:
            _LOG.info("issuer '%s' publishes its keys again", self.settings.name)
