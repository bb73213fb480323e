"""The replicas of a candidate, as another replica calls them: by a handle of Ray Serve."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray.serve.handle import DeploymentHandle

from cluster.errors import FunnelcastError, Refusal
from serving.apart import words
from serving.apart.deployment import DEPLOYMENT
from serving.releases import own
from serving.slots.elsewhere import Away, NotYet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cluster.settings import CandidateSettings
    from serving.decide import Case, Decision
    from serving.releases.release import Release
    from serving.slots.elsewhere import Elsewhere

CALL_S = 2.0  # most deadlines are over by then, and a thread is not lost for longer
ASK_S = 0.5  # whether anybody is there
WORDS = 200  # letters of an error


class Failed(FunnelcastError):
    """They answer that they could not decide."""


@dataclass(frozen=True)
class Called:
    """The replicas of one candidate. Safe to share between threads that no event loop runs in."""

    name: str  # of their application
    handle: Any

    def decide(self, cases: Sequence[Case], now: datetime, *, reasons: bool) -> list[Decision]:
        """Return what one of them decides; Away or Failed if none does."""
        told = self.ask(words.asking(cases, now, reasons=reasons), CALL_S)
        if "failed" in told:
            raise Failed(told["failed"][:WORDS])
        return words.answered(told["made"])

    def ask(self, said: dict[str, Any], within_s: float) -> dict[str, Any]:
        """Return what one of them answers to plain values; Away if none does in time."""
        response = self.handle.decide.remote(said)
        try:
            answer: dict[str, Any] = response.result(timeout_s=within_s)
        except TimeoutError as error:
            response.cancel()
            raise Away(f"the replicas of {self.name} must answer in {within_s:g} s") from error
        except (Exception, asyncio.CancelledError) as error:  # Ray's own hold whole tracebacks
            first = str(error).strip().partition("\n")[0][:WORDS]
            raise Away(f"{self.name}: {type(error).__name__}: {first}") from error
        return answer


class Apart:
    """Finds the replicas of candidates for one process. Those that answered once in a release are
    taken for all of it: how they do from then on speaks for the candidate, or against it. For one
    thread at a time.
    """

    def __init__(self, settings: CandidateSettings) -> None:
        self._settings = settings
        self._known: dict[str, Called] = {}  # by name
        self._taken: dict[str, tuple[str, str]] = {}  # release and name, by target

    def __call__(self, release: Release) -> Elsewhere | Refusal:
        """Return where the candidate of a release decides, or why it does not."""
        refused = own.disallowed(release.plan.own, self._settings)
        if refused is not None:
            return refused
        name = own.name_of(release)
        if self._taken.get(release.target) == (release.id, name):
            return self._known[name]
        try:
            # on a thread of its own: whoever wants to know may be in an event loop
            with ThreadPoolExecutor(1) as pool:
                found = pool.submit(self._asked, name).result()
        except Exception as error:  # Ray raises of many kinds, and the next look may do better
            return _not_yet(name, error)
        self._taken[release.target] = (release.id, name)
        return found

    def _asked(self, name: str) -> Called:
        """Return the replicas of a candidate; raises unless they answer a question about nobody."""
        if name not in self._known:
            self._known[name] = Called(name, handle_of(name))
        self._known[name].ask(words.asking((), words.NEVER, reasons=False), ASK_S)
        return self._known[name]


def handle_of(name: str) -> Any:
    """Return a handle that any thread may use, in whatever profile."""
    handle: Any = DeploymentHandle(DEPLOYMENT, name)
    handle._init(_run_router_in_separate_loop=True)  # a profile may say otherwise for all handles
    return handle


def _not_yet(name: str, error: Exception) -> NotYet:
    return NotYet(
        rule="replicas of its own must answer before a candidate does",
        value=str(error)[:WORDS],
        remedy=f"look at the application {name} of Ray Serve if that lasts",
    )
