"""The sealer: a thread of a service that seals the journal while entries come in."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cluster import sealing
from cluster.beat import Beat

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.checkpoints import Sealed
    from cluster.workspace import Workspace

_LOG = logging.getLogger(__name__)


class Sealer:
    """Seals every `every_s` seconds if something was appended, and once more when it is closed.

    What fails is told (`error`, and the log) and tried again: answers do not wait for seals.
    """

    def __init__(
        self, seals: sealing.Seals, *, every_s: float, clock: Callable[[], datetime]
    ) -> None:
        self.last: Sealed | None = None
        self.error: str | None = None  # why the newest try failed
        self._seals = seals
        self._clock = clock
        self._beat = Beat(self._seal, every_s=every_s, name="sealer")

    def start(self) -> None:
        """Begin."""
        self._beat.start()

    def close(self) -> None:
        """Seal what is left and stop. Close the journal first, then everything is sealed."""
        if self._beat.close():
            self._seal()

    def _seal(self) -> None:
        try:
            self.last = self._seals.seal(self._clock()) or self.last
        except Exception as error:  # whatever it was, the service goes on and the next try comes
            self.error = " ".join(str(error).split()) or type(error).__name__
            _LOG.warning("the journal must be sealed, got '%s': the next try comes", self.error)
        else:
            self.error = None


def open_sealer(workspace: Workspace) -> Sealer:
    """Return the sealer of a workspace, not yet started."""
    settings = workspace.settings
    seals = sealing.open_seals(settings)
    return Sealer(seals, every_s=settings.checkpoint_s, clock=workspace.clock)
