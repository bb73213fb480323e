"""The keeper: the ledger of a workspace, never more than a moment behind what any process commits.

Two places are looked at, each by one cheap question: the head of the log, of which only new files
are read, and the words that arrived, which are numbered. A thread looks often, so that no request
has to; a request that finds the last look too old looks itself, and is refused where it cannot.
"""

from __future__ import annotations

import logging
import time
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from cluster import catalog
from cluster.beat import Beat
from cluster.errors import FunnelcastError
from cluster.tables import SnapshotMissing
from features import log
from features.consent import arrived, words
from features.consent.ledger import Ledger
from features.consent.terms import load_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyiceberg.manifest import DataFile

    from cluster.workspace import Workspace
    from features.consent.terms import Terms

EVERY_S = 0.2  # between two looks of the thread
OLDEST_S = 0.6  # of a look that may be relied on
_LOG = logging.getLogger(__name__)


class Unchecked(FunnelcastError):
    """It cannot be found out what persons forbade."""


class Keeper:
    """Keeps one ledger. Safe to share between threads."""

    def __init__(
        self,
        workspace: Workspace,
        terms: Terms | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace = workspace
        self._ledger = Ledger(terms or load_terms())
        self._monotonic = monotonic
        self._lock = Lock()
        self._mark: str | None = None  # of the log, as it was read
        self._head: int | None = None
        self._number = 0  # of the last word that arrived
        self._looked = -float("inf")
        self._beat = Beat(self._try, every_s=EVERY_S, name="consent")

    def start(self) -> None:
        """Look once, then again and again beside everything else."""
        self.look()
        self._beat.start()

    def close(self) -> None:
        """Stop looking."""
        self._beat.close()

    @property
    def age_s(self) -> float:
        """How long ago the last look was."""
        return self._monotonic() - self._looked

    @property
    def ledger(self) -> Ledger:
        """The ledger as it was seen at the last look, however old that is."""
        return self._ledger

    def current(self) -> Ledger:
        """Return the ledger, at most OLDEST_S old; Unchecked where it cannot be read."""
        if self.age_s > OLDEST_S:
            self._look_again()
        return self._ledger

    def look(self) -> Ledger:
        """Take in all that is committed by now; returns the ledger."""
        with self._lock:
            began = self._monotonic()
            found, number = arrived.since(self._workspace.database, self._number)
            self._ledger.add(found)  # before the log: what leaves here is there by then
            self._number = number
            self._follow()
            self._looked = began
        return self._ledger

    def _look_again(self) -> None:
        try:
            self.look()
        except Exception as error:
            raise Unchecked(
                "what persons forbade must be known to score one, got"
                f" '{type(error).__name__}': ask again"
            ) from error

    def _try(self) -> None:
        try:
            self.look()
        except Exception as error:  # whatever it was, the next look comes
            _LOG.warning("consent must be looked at, got '%s'", " ".join(str(error).split()))

    def _follow(self) -> None:
        """Read the files of the log that came since the last look."""
        tables = self._workspace.tables
        mark = catalog.mark(self._workspace.database, log.TABLE)
        if mark is None or mark == self._mark:
            return
        head = tables.head(log.TABLE)
        for file in self._new(head):
            self._read(file)
        self._mark, self._head = mark, head

    def _new(self, head: int | None) -> Sequence[DataFile]:
        tables = self._workspace.tables
        if head is None or head == self._head:
            return ()
        try:
            return tables.added(log.TABLE, self._head, head)
        except SnapshotMissing:  # given up meanwhile
            return tables.files(log.TABLE, head)

    def _read(self, file: DataFile) -> None:
        tables = self._workspace.tables
        events = tables.read_files(log.TABLE, [file], [*words.LINKS])
        found: list[words.Word] = []
        if pc.any(pc.equal(events["kind"], words.KIND)).as_py():
            whole = tables.read_files(log.TABLE, [file], [*words.COLUMNS])
            found = words.of_events(whole)
        self._ledger.add(found, words.links(events))
