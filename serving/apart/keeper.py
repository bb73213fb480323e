"""The keeper: lets the replicas run that open releases ask for, and ends those that none does.

It stands beside the service, in the process that started it, and looks where refs point.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

from serving.apart.deciding import CandidateArgs
from serving.releases import own
from serving.slots import following, releases

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cluster.workspace import Workspace
    from serving.releases.own import Own
    from serving.releases.release import Release
    from serving.slots.slot import Answer

EVERY_S = 1.0  # between two looks
GRACE_S = 10.0  # for the service to see that a release is over
_LOG = logging.getLogger(__name__)


class Runner(Protocol):
    """What runs applications."""

    def names(self) -> set[str]:
        """Return the candidates that run, or are about to."""

    def start(self, name: str, args: CandidateArgs, own: Own) -> None:
        """Begin to run a candidate."""

    def stop(self, name: str) -> None:
        """Begin to end it."""


class Keeper:
    """Looks again and again; for one thread."""

    def __init__(self, workspace: Workspace, answers: Mapping[str, Answer], runner: Runner) -> None:
        self._workspace = workspace
        self._runner = runner
        self._kinds = {answer.target: kind for kind, answer in answers.items()}
        self._answers = dict(answers)
        self._unwanted: dict[str, float] = {}  # since when, by name
        self.trouble = ""  # why the last look came to nothing; empty if it did not

    def look(self) -> None:
        """Start what is missing and stop what is over; what keeps it from that is told once."""
        try:
            self._settle({own.name_of(each): each for each in self._wanted()}, time.monotonic())
            trouble = ""
        except Exception as error:  # Ray raises of many kinds, and the next look may do better
            trouble = f"{type(error).__name__}: {error}"
        if trouble and trouble != self.trouble:
            _LOG.warning("candidates must have their replicas, got '%s': trying on", trouble)
        self.trouble = trouble

    def _settle(self, wanted: Mapping[str, Release], now: float) -> None:
        there = self._runner.names()
        for name in sorted(set(wanted) - there):
            self._runner.start(name, self._args(wanted[name]), wanted[name].plan.own)
        over = there - set(wanted)
        self._unwanted = {name: self._unwanted.get(name, now) for name in over}
        for name, since in self._unwanted.items():
            if now - since >= GRACE_S:
                self._runner.stop(name)

    def _wanted(self) -> Iterator[Release]:
        """Yield the open releases whose candidates run apart, and may."""
        names = [releases.ref_of(target) for target in self._kinds]
        for ref in following.look(self._workspace.database, names).values():
            release = releases.of_ref(self._workspace, ref).release
            if release.is_open and release.plan.isolated and self._may(release):
                yield release

    def _may(self, release: Release) -> bool:
        allowed = self._workspace.settings.serve.candidates
        return own.disallowed(release.plan.own, allowed) is None

    def _args(self, release: Release) -> CandidateArgs:
        kind = self._kinds[release.target]
        return CandidateArgs(
            settings=self._workspace.settings,
            kind=kind,
            answer=self._answers[kind],
            parts=release.candidate,
        )
