"""Priority lists: which accounts to look at first, from the newest scores.

`high_intent`: the lead of each account that is most likely to come true. `at_risk`: the open
opportunity of each account that is most likely to be lost; where nobody scores that, the one whose
chance to be won falls most.

The order of a snapshot is worked out once and kept. A cursor names the snapshot, so its pages fit
together whatever is scored meanwhile.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import Refusal
from cluster.tables import SnapshotMissing
from serving import batch
from serving.reading import cursor
from serving.reading.cursor import Cursor
from serving.reading.declared import Targets
from serving.reading.kept import Kept
from serving.reading.ranking import firsts, ranked, ranking
from serving.reading.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from cluster.workspace import Workspace
    from features.consent import Keeper, Ledger
    from features.targets import Target
    from serving.access.rows import Shown

HIGH_INTENT, AT_RISK = "high_intent", "at_risk"
LIMIT, MOST = 50, 1_000  # accounts of a page, by default and at most
WHY = 3  # reasons that are told
KEPT_BYTES = 2**29  # of orders
COLUMNS = (
    *("entity", "account", "time", "probability", "low", "high"),
    *("route", "trend", "change"),
)
LEAD, OPPORTUNITY = "lead", "opportunity"
KIND = {HIGH_INTENT: LEAD, AT_RISK: OPPORTUNITY}  # of whom a list is made
LOST, WON = ("outcome", ("lost",)), ("outcome", ("won",))  # labels


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """An account of a list, by the entity that puts it there."""

    account: str | None
    entity: str
    score: float
    low: float
    high: float
    trend: str | None
    change: float | None
    route: str
    why: tuple[Mapping[str, Any], ...]  # reasons as they were kept with the score


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some accounts of a list, the first to look at first."""

    list: str
    target: str | None  # whose scores; None when there are none
    as_of: datetime | None  # T of them
    accounts: tuple[Ranked, ...]
    next: str | None


@dataclass(frozen=True, kw_only=True)
class Order:
    """The accounts of a list, all of them, in their order."""

    rows: pa.Table  # COLUMNS; the first of each account, or every entity, in the order of the list
    kept: np.ndarray  # (n,) places of these rows among `reasons`
    reasons: Texts  # JSON
    as_of: datetime | None

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return int(self.rows.nbytes + self.kept.nbytes + self.reasons.nbytes)


class Priority:
    """The lists of one workspace. Safe to share between threads."""

    def __init__(self, workspace: Workspace, keeper: Keeper | None = None) -> None:
        self._workspace = workspace
        self._keeper = keeper  # of what persons forbade: those are in no list
        self._targets = Targets()
        self._orders: Kept[tuple[str, int, int], Order] = Kept(
            KEPT_BYTES, lambda order: order.nbytes
        )
        self._every: Kept[tuple[str, int, int], Order] = Kept(
            KEPT_BYTES, lambda order: order.nbytes
        )

    def page(
        self,
        name: str,
        *,
        limit: int = LIMIT,
        after: str | None = None,
        first: str = "",
        shown: Shown | None = None,
    ) -> Page | Refusal:
        """Return the next `limit` accounts of a list, HIGH_INTENT or AT_RISK; `first` is the target
        that counts where several could, `shown` says which entities may be there if not all.
        Refusals for cursors that are broken, another's, or gone.
        """
        whose = shown.mark if shown else ""
        new = self._start(name, first, whose) if after is None else None
        start = new if after is None else cursor.read(name, after, whose)
        if isinstance(start, Refusal):
            return start
        if start is None:
            return Page(list=name, target=None, as_of=None, accounts=(), next=None)
        if start.target not in self._candidates(name, first):
            return cursor.broken(after or "")
        try:
            order = self._order(start) if shown is None else self._shown(start, shown)
        except SnapshotMissing:
            return cursor.gone(start)
        return _page(start, order, limit)

    def made_by(self, page: Page) -> str:
        """Return the views that made the features behind a page; empty for one of no scores."""
        return self._targets.get(page.target).made_by if page.target else ""

    def _start(self, name: str, first: str, whose: str) -> Cursor | None:
        for target in self._candidates(name, first):
            head = self._workspace.tables.head(self._targets.get(target).scores_table)
            if head is not None:
                return Cursor(list=name, target=target, snapshot=head, place=0, whose=whose)
        return None

    def _candidates(self, name: str, first: str) -> list[str]:
        """Return the targets that may make a list; the first that has scores does."""
        known = [self._targets.get(each) for each in self._targets.scored(self._workspace)]
        fit = [each for each in known if name in _lists(each)]
        ordered = sorted(fit, key=lambda each: (is_falling(each), each.name != first))
        return [each.name for each in ordered]

    def _order(self, start: Cursor) -> Order:
        return self._read(start, self._orders, ranking)

    def _shown(self, start: Cursor, shown: Shown) -> Order:
        """Return the order of a list without the entities that are not shown, before the first of
        each account is taken.
        """
        target = self._targets.get(start.target)
        every = self._read(start, self._every, ranked)
        mine = np.flatnonzero(shown.among(target.entity, every.rows["entity"].to_pylist()))
        mine = mine[firsts(every.rows["account"], mine)]
        return replace(every, rows=every.rows.take(pa.array(mine)), kept=every.kept[mine])

    def _read(
        self,
        start: Cursor,
        kept: Kept[tuple[str, int, int], Order],
        rank: Callable[..., np.ndarray],
    ) -> Order:
        """Return the order of a snapshot, without whom nobody may score now."""
        target = self._targets.get(start.target)
        place, falls = (target.scores_table, start.snapshot), is_falling(target)
        ledger = self._keeper.current() if self._keeper and target.entity == LEAD else None
        return kept.get(
            (*place, ledger.version if ledger else 0),
            lambda: _ordered(self._workspace, *place, falls, ledger, rank=rank),
        )


def is_falling(target: Target) -> bool:
    """Is its list that of the scores that fall, rather than of the highest?"""
    return _is_about(target, WON)


def _ordered(
    workspace: Workspace,
    table: str,
    snapshot: int,
    falling: bool,
    ledger: Ledger | None,
    *,
    rank: Callable[..., np.ndarray] = ranking,
) -> Order:
    """Read a snapshot of scores and put it in order, but for whom the ledger refuses; reasons file
    by file.
    """
    files = workspace.tables.files(table, snapshot)
    read = workspace.tables.read_files
    parts = [batch.plain(read(table, [file], COLUMNS).select(COLUMNS)) for file in files]
    rows = pa.concat_tables([batch.plain(batch.SCHEMA.empty_table().select(COLUMNS)), *parts])
    may = np.flatnonzero(~ledger.are_refused(rows["entity"])) if ledger else None
    order = rank(rows, falling=falling) if may is None else _among(rows, may, falling, rank)
    chosen, starts = np.sort(order), np.cumsum([0, *(part.num_rows for part in parts)])
    texts = (
        read(table, [file], ["reasons"])["reasons"].take(pa.array(_between(chosen, *span)))
        for file, span in zip(files, pairwise(starts.tolist()), strict=True)
    )
    return Order(
        rows=rows.take(pa.array(order)).combine_chunks(),
        kept=np.searchsorted(chosen, order),
        reasons=Texts.of(texts),
        as_of=pc.max(rows["time"]).as_py(),
    )


def _among(
    rows: pa.Table, places: np.ndarray, falling: bool, rank: Callable[..., np.ndarray]
) -> np.ndarray:
    """Return the places of some rows in the order of a list."""
    return np.asarray(places[rank(rows.take(pa.array(places)), falling=falling)])


def _between(chosen: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return the chosen places from start to end, counted from start."""
    first, last = np.searchsorted(chosen, [start, end])
    return np.asarray(chosen[first:last] - start)


def _page(start: Cursor, order: Order, limit: int) -> Page:
    end = start.place + limit
    rows = order.rows.slice(start.place, limit).to_pylist()
    why = order.reasons.take(order.kept[start.place : end].tolist())
    more = end < order.rows.num_rows
    after = replace(start, place=end)
    return Page(
        list=start.list,
        target=start.target,
        as_of=order.as_of,
        accounts=tuple(_ranked(*each) for each in zip(rows, why, strict=True)),
        next=after.text() if more else None,
    )


def _ranked(row: Mapping[str, Any], reasons: str) -> Ranked:
    plain = {name: row[name] for name in COLUMNS if name not in {"time", "probability"}}
    return Ranked(score=row["probability"], why=tuple(json.loads(reasons)[:WHY]), **plain)


def _lists(target: Target) -> list[str]:
    """Return the lists that the scores of a target may make."""
    if target.entity == LEAD:
        return [HIGH_INTENT]
    return [AT_RISK] if _is_about(target, LOST) or _is_about(target, WON) else []


def _is_about(target: Target, label: tuple[str, Sequence[str]]) -> bool:
    said = target.label
    return target.entity == OPPORTUNITY and (said.kind, said.names) == label
