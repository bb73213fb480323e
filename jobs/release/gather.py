"""What the page of a release shows: its moves, and the evidence as it grew look by look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serving.judging.case import Case
from serving.leading import followers, standing
from serving.leading.begun import ReleaseRefused
from serving.leading.orders import not_begun
from serving.slots import releases

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from cluster.workspace import Workspace
    from serving.leading.followers import Followers
    from serving.leading.standing import Judged
    from serving.releases.evidence import Evidence
    from serving.releases.judge import Finding
    from serving.releases.release import Release
    from serving.slots.releases import Kept

MOST_POINTS = 400  # of a curve


@dataclass(frozen=True, kw_only=True)
class Point:
    """What the guards said after a look."""

    at: datetime
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """All that is known of a release."""

    moves: tuple[Kept, ...]  # oldest first
    points: tuple[Point, ...]
    evidence: Evidence
    judged: Judged
    unread: str  # why what was seen cannot be read
    ruling: Mapping[str, Any] | None  # of the judge, with the newest move
    followers: Followers
    now: datetime

    @property
    def newest(self) -> Kept:
        """The release as it is since its newest move."""
        return self.moves[-1]

    @property
    def release(self) -> Release:
        """The release as it is."""
        return self.newest.release

    @property
    def until(self) -> datetime:
        """Where its story ends: now, or as it was over."""
        return self.now if self.release.is_open else self.newest.since


class Thinned:
    """Keeps at most so many points of a curve whose length nobody knows, evenly, and the last."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most
        self._every = 1
        self._seen = 0
        self._kept: list[Point] = []

    @property
    def wants(self) -> bool:
        """Is the next point one that is kept?"""
        return self._seen % self._every == 0

    def see(self, point: Point | None) -> None:
        """Count a point, and keep it if it was wanted."""
        self._seen += 1
        if point is not None:
            self._kept.append(point)
        if len(self._kept) >= self._most:
            self._kept, self._every = self._kept[::2], self._every * 2

    def points(self, last: Point) -> tuple[Point, ...]:
        """Return what was kept, and the last."""
        is_there = self._kept and self._kept[-1].at == last.at
        return (*(self._kept[:-1] if is_there else self._kept), last)


def dossier(workspace: Workspace, target: str, id: str | None) -> Dossier:
    """Return what is known of the newest release of a target, or of an older one by its id;
    ReleaseRefused where there is none.
    """
    every, now = releases.history(workspace, target), workspace.clock()
    moves = _of(every, target, id)
    newest = moves[-1]
    case = Case(workspace.database, newest.release)
    points = _points(case, newest.release)
    return Dossier(
        moves=tuple(moves),
        points=points,
        evidence=case.evidence,
        judged=standing.judged(case, newest.release, now),
        unread=case.unread,
        ruling=releases.entry_of(workspace, target, newest.epoch).get("verdict"),
        followers=followers.followers(workspace.database, target, newest.epoch, now),
        now=now,
    )


def _of(every: list[Kept], target: str, id: str | None) -> list[Kept]:
    if not every:
        raise ReleaseRefused(str(not_begun(target)))
    wanted = id or every[-1].release.id
    found = [kept for kept in every if kept.release.id == wanted]
    if not found:
        known = ", ".join(dict.fromkeys(kept.release.id for kept in every))
        raise ReleaseRefused(
            f"a release of '{target}' must have the id, got '{wanted}': there are {known}"
        )
    return found


def _points(case: Case, release: Release) -> tuple[Point, ...]:
    kept = Thinned()
    for look in case.steps():
        kept.see(_point(case, release, look.at) if kept.wants else None)
    return kept.points(_point(case, release, case.look.at))


def _point(case: Case, release: Release, at: datetime) -> Point:
    return Point(at=at, findings=case.verdict(release, at).findings)


def is_against(finding: Finding) -> bool:
    """Was there ever evidence against the candidate?"""
    return finding.strength > (0.0 if finding.guard == "shift" else 1.0)


def curves(found: Dossier) -> Iterator[tuple[str, list[tuple[datetime, Finding]]]]:
    """Yield the curve of each guard that ever had evidence against the candidate."""
    for place, finding in enumerate(found.points[-1].findings):
        if is_against(finding):
            curve = [(p.at, p.findings[place]) for p in found.points if p.findings]
            yield finding.guard, curve
