"""Exposures: an account's variant is told when it is on record that it was, once per version."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from serving.releases import flags

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.releases.flags import Exposed

MOST = 100_000  # exposures that are remembered to be on record


class Exposures:
    """The exposures of one replica. Safe to share between threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    def keep(self, exposed: Exposed) -> None:
        """Return when it is durable; JournalBroken if it cannot be. Again it costs nothing."""
        with self._lock:
            if exposed.id in self._known:
                return
        body, now = exposed.body(), self._workspace.clock()
        self._workspace.journal.record(flags.EXPOSURE, body, id=exposed.id, now=now)
        with self._lock:
            self._known[exposed.id] = None
            while len(self._known) > MOST:
                self._known.popitem(last=False)
