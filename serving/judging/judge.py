"""The judge of a service: a thread that looks at each release under way, once a second.

Of several replicas one does it at a time. What it decides moves a ref by compare-and-swap, and
looks are kept before they count, so that two at once would do no harm.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from cluster import leases
from cluster.beat import Beat
from serving.judging.case import Case
from serving.judging.ruling import ruled
from serving.slots import releases

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from cluster.workspace import Workspace
    from serving.releases.judge import Verdict
    from serving.releases.release import Release

EVERY_S = 1.0
LEASE = timedelta(seconds=5)  # after which another goes on, if this one is gone

_LOG = logging.getLogger(__name__)


class Judge:
    """Judges the releases of a workspace while they are under way."""

    def __init__(
        self,
        workspace: Workspace,
        targets: Callable[[], Collection[str]],
        *,
        holder: str,
        every_s: float = EVERY_S,
    ) -> None:
        self._workspace = workspace
        self._targets = targets  # whose releases are under way
        self._holder = holder
        self._cases: dict[str, Case] = {}  # by key of the release
        self.verdicts: dict[str, Verdict] = {}  # the newest, by target
        self.error: str | None = None  # why the newest look came to nothing: all stays as it is
        self.failures = 0  # looks that came to nothing, so far
        self._beat = Beat(self.look, every_s=every_s, name="judge")

    def start(self) -> None:
        """Begin."""
        self._beat.start()

    def close(self) -> None:
        """Stop, and let another go on at once."""
        if self._beat.close() and self._cases:
            try:
                for target in self._targets():
                    leases.give_back(self._workspace.database, _lease(target), self._holder)
            except Exception:  # it runs out by itself
                _LOG.warning("a lease must be given back: it runs out instead")

    def look(self) -> None:
        """Judge each release under way once; whatever fails is told, and tried again."""
        try:
            for target in self._targets():
                self._judge(target, self._workspace.clock())
        except Exception as error:  # what is not known changes nothing
            self.failures += 1
            self.error = " ".join(str(error).split()) or type(error).__name__
            _LOG.warning("a release must be judged, got '%s': it stays as it is", self.error)
        else:
            self.error = None

    def _judge(self, target: str, now: datetime) -> None:
        kept = releases.current(self._workspace, target)
        if kept is None or not kept.release.is_open:
            return
        if not leases.hold(self._workspace.database, _lease(target), self._holder, now, LEASE):
            self._cases.pop(kept.release.key, None)
            return
        case = self._case(kept.release)
        case.read_on(now)
        self.verdicts[target], _ = ruled(self._workspace, kept, case, now)

    def _case(self, release: Release) -> Case:
        if release.key not in self._cases:
            self._cases = {k: c for k, c in self._cases.items() if not k.startswith(release.target)}
            self._cases[release.key] = Case(self._workspace.database, release)
        return self._cases[release.key]


def _lease(target: str) -> str:
    return f"judge/{target}"
