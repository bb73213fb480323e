"""The case of one release: its evidence, as far as looks went, and the verdict on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.looks import Look, Looks
from serving.judging.told import KINDS, told
from serving.releases import judge
from serving.releases.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cluster.database import Database
    from serving.releases.judge import Verdict
    from serving.releases.release import Release


class Case:
    """What was seen of a release. For one thread."""

    def __init__(self, database: Database, release: Release) -> None:
        self._release = release  # what is counted rests on its plan, which stays
        self._looks = Looks(database, release.key)
        self.evidence = Evidence()
        self.look = Look(number=-1, positions={}, at=release.began)
        self.unread = ""  # why what was seen cannot be read

    def follow(self) -> None:
        """Count what looks have read that were kept by now."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[Look]:
        """Count look by look, and yield each when it is counted."""
        for look in [] if self.unread else self._looks.behind(self.look.number):
            try:
                self._count(look)
            except (KeyError, TypeError, ValueError) as error:  # other code wrote it
                self.unread = f"{type(error).__name__} in look {look.number}: {error}"
                return
            self.look = look
            yield look

    def _count(self, look: Look) -> None:
        if look.number > 0:  # the first says where it began
            entries = self._looks.entries(self.look.positions, look.positions, KINDS)
            told(self._release, entries).into(self.evidence, self._release)

    def read_on(self, now: datetime) -> None:
        """Look once more, and count it."""
        self.follow()
        while not self.unread and self._looks.take(self.look, now):
            self.follow()

    def verdict(self, release: Release, now: datetime) -> Verdict:
        """Judge the release, as it is by now, by what was seen."""
        if self.unread:
            return judge.unknown(self.unread)
        return judge.verdict(release, self.evidence, now)
