"""Accounts: how the scores of one went, snapshot by snapshot, and why they moved last.

A snapshot never changes, so what was read of one is kept: the next look, at any account, reads only
what was scored since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import FunnelcastError, Refusal, nearest
from serving import batch
from serving.explain import told
from serving.moved import why as moved
from serving.moved.picture import LABELS
from serving.reading.declared import Targets, declared
from serving.reading.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from cluster.commits import Commit
    from cluster.workspace import Workspace
    from features.consent import Keeper
    from features.targets import Target
    from serving.moved.why import Why

LIMIT, MOST = 12, 100  # snapshots that are looked at, by default and at most
ENTITIES = 50  # of one account and target that are shown
COLUMNS = (
    *("entity", "account", "time", "probability", "low", "high"),
    *("route", "trend", "previous", "change", "usual"),
)
KEPT_BYTES = 2**28  # of snapshots
KEPT_LOOKS, KEPT_WHYS = 20_000, 2_000  # accounts in snapshots; accounts

type Shows = Callable[[str, str], bool]  # is an entity, by kind and key, to be shown?
type Look = tuple[Mapping[str, Any], ...]  # scores of one account in one snapshot


@dataclass(frozen=True, kw_only=True)
class Point:
    """One score, as it was committed."""

    snapshot: int
    time: datetime  # T
    score: float
    low: float
    high: float
    route: str
    trend: str | None
    previous: float | None
    change: float | None
    usual: float | None


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one cause did to a score."""

    cause: str
    log_odds: float
    probability: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Move:
    """Why a score moved between its last two snapshots."""

    since: int
    to: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Course:
    """The scores of one entity for one target."""

    target: str
    entity: str
    points: tuple[Point, ...]  # newest first
    why: Move | None  # None where it cannot be told


class Accounts:
    """The scores of accounts. Safe to share between threads."""

    def __init__(self, workspace: Workspace, keeper: Keeper | None = None) -> None:
        self._workspace = workspace
        self._keeper = keeper  # of what persons forbade: no score of theirs is shown
        self._targets = Targets()
        self._read: Kept[tuple[str, int], pa.Table] = Kept(KEPT_BYTES, lambda rows: rows.nbytes)
        self._looks: Kept[tuple[str, int, str], Look] = Kept(KEPT_LOOKS)
        self._whys: Kept[tuple[str, int, tuple[str, ...]], Mapping[str, Move]] = Kept(KEPT_WHYS)

    def scores(
        self,
        account: str,
        *,
        target: str | None = None,
        limit: int = LIMIT,
        why: bool = True,
        shows: Shows | None = None,
    ) -> list[Course] | Refusal:
        """Return the courses of all that was scored of an account in the newest `limit` snapshots
        of each target, or of one; none for an account that was never scored.

        A score counts to the account that its entity was of when it was scored. With `shows` only
        entities that it shows are there. A Refusal for a target that has no scores.
        """
        known = self._targets.scored(self._workspace)
        if target is not None and target not in known:
            return _no_scores(target, known)
        names = known if target is None else [target]
        targets = [self._targets.get(name) for name in names]
        found: list[Course] = []
        for each in targets:
            commits = self._workspace.tables.history(each.scores_table)[-limit:]
            found += self._of_target(each, commits, account, why, shows=shows)
        return found

    def _of_target(
        self,
        target: Target,
        commits: Sequence[Commit],
        account: str,
        why: bool,
        *,
        shows: Shows | None,
    ) -> list[Course]:
        points: dict[str, list[Point]] = {}
        for commit in reversed(commits):
            for row in self._look(target, commit.snapshot, account):
                points.setdefault(row["entity"], []).append(_point(commit.snapshot, row))
        if shows is not None:
            points = {e: each for e, each in points.items() if shows(target.entity, e)}
        self._withhold(target, points)
        head = commits[-1].snapshot if commits else None
        shown = _in_order(points, head)[:ENTITIES]
        newest = ((e, points[e][0]) for e in shown)
        now = [e for e, last in newest if last.snapshot == head and last.change is not None]
        moves = self._moves(target, head, now) if why and head is not None and now else {}
        return [
            Course(target=target.name, entity=e, points=tuple(points[e]), why=moves.get(e))
            for e in shown
        ]

    def _withhold(self, target: Target, points: dict[str, list[Point]]) -> None:
        """Take out who forbade to be scored, as it is known now."""
        if self._keeper is None or target.entity != "lead":
            return
        ledger = self._keeper.current()
        for entity in [each for each in points if ledger.of_lead(each) is not None]:
            del points[entity]

    def _look(self, target: Target, snapshot: int, account: str) -> Look:
        place = (target.scores_table, snapshot)

        def look() -> Look:
            rows = self._read.get(place, lambda: _rows(self._workspace, *place))
            return tuple(rows.filter(pc.equal(rows["account"], account)).to_pylist())

        return self._looks.get((*place, account), look)

    def _moves(self, target: Target, head: int, entities: Sequence[str]) -> Mapping[str, Move]:
        """Return why the scores of entities moved, as far as it can be told."""
        asked = tuple(sorted(entities))
        key = (target.scores_table, head, asked)
        return self._whys.get(key, lambda: _why(self._workspace, target, asked))


def _rows(workspace: Workspace, table: str, snapshot: int) -> pa.Table:
    """Return a snapshot of scores, without the reasons."""
    read = workspace.tables.read(table, snapshot, COLUMNS)
    return batch.plain(read.select(COLUMNS)).combine_chunks()


def _in_order(points: Mapping[str, Sequence[Point]], head: int | None) -> list[str]:
    """Return entities: those that are open now, the highest score first, then those that were."""

    def place(entity: str) -> tuple[bool, float, str]:
        last = points[entity][0]
        return last.snapshot != head, -last.score, entity

    return sorted(points, key=place)


def _why(workspace: Workspace, target: Target, entities: Sequence[str]) -> Mapping[str, Move]:
    try:
        answer = moved.why(workspace, target, entities)
    except FunnelcastError:  # a score that does not come out again, or a broken model
        return {}
    if isinstance(answer, Refusal):
        return {}
    return {each.moved.entity: _move(each, answer.then, answer.now) for each in answer.whys}


def _move(each: Why, then: int, now: int) -> Move:
    parts = tuple(
        Part(
            cause=part.cause,
            log_odds=part.logit,
            probability=part.probability,
            text=f"{LABELS[part.cause]}: {told(part.probability)}",
        )
        for part in each.moved.parts
    )
    return Move(since=then, to=now, parts=parts)


def _point(snapshot: int, row: Mapping[str, Any]) -> Point:
    named = {"entity", "account", "probability"}
    plain = {name: row[name] for name in COLUMNS if name not in named}
    return Point(snapshot=snapshot, score=row["probability"], **plain)


def _no_scores(target: str, known: Sequence[str]) -> Refusal:
    if target in declared():
        remedy = f"run python -m jobs.score --target {target}"
    else:
        remedy = nearest(target, known) if known else "run python -m jobs.score --help"
    shown = "".join(c if c.isprintable() else "?" for c in target[:60])
    return Refusal(rule="a target must have scores", value=f"'{shown}'", remedy=remedy)
