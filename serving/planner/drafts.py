"""Comparisons that a planner keeps before they are run: the form as it was filled in, by name.

A ref of the planner's own points at a blob; who drops one moves the ref to where nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import orjson
import sqlalchemy as sa

from cluster import canonical, schema
from cluster.errors import FunnelcastError, Refusal
from serving.planner import sheet
from serving.planner.plain import name_of

if TYPE_CHECKING:
    from cluster.access.principal import Principal
    from cluster.workspace import Workspace
    from serving.planner.sheet import Sheet

FOLDER, DROPPED = "planner", "dropped"
MOST = 100  # of one planner
_OURS = schema.refs.c.name.startswith(f"{FOLDER}/")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A comparison that is kept."""

    name: str
    at: datetime


class NotKept(Refusal):
    """A draft cannot be kept."""


class NoDraft(Refusal):
    """There is none of that name."""


class Drafts:
    """Those of all planners of a workspace; each sees their own."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def listed(self, who: Principal) -> list[Draft]:
        """Return the drafts of a planner, the newest first."""
        begin, refs = _folder(who), schema.refs.c
        query = sa.select(refs.name, refs.moved_at).where(
            refs.name.startswith(begin, autoescape=True), refs.target != DROPPED
        )
        with self._workspace.database.connect() as connection:
            rows = connection.execute(query.order_by(refs.moved_at.desc()).limit(MOST)).all()
        return [Draft(name=name.removeprefix(begin), at=schema.moment(at)) for name, at in rows]

    def read(self, who: Principal, name: str) -> Sheet | NoDraft:
        """Return the form of a draft."""
        ref = self._workspace.refs.get(_folder(who) + name_of(name))
        if ref is not None and ref.target != DROPPED:
            try:
                texts = orjson.loads(self._workspace.blobs.get(ref.target))
                return sheet.parsed({place: tuple(each) for place, each in texts.items()})
            except (FunnelcastError, ValueError):
                pass
        rule, remedy = "a draft must be one that you kept", "choose one of your own"
        return NoDraft(rule=rule, value=f"'{name_of(name)}'", remedy=remedy)

    def keep(self, who: Principal, name: str, filled: Sheet, now: datetime) -> str | NotKept:
        """Keep a form by a name, in place of one of the same name; return the name."""
        called = name_of(name)
        there = {each.name for each in self.listed(who)}
        if not called:
            return NotKept(rule="a draft must have a name", value="none", remedy="write one")
        if called not in there and len(there) >= MOST:
            rule = f"a planner must keep at most {MOST} drafts"
            return NotKept(rule=rule, value="one more", remedy="drop one that is not needed")
        to = self._workspace.blobs.put(
            orjson.dumps(sheet.flat(filled), option=orjson.OPT_SORT_KEYS)
        )
        moved = self._move(who, called, to, now)
        return NotKept(**vars(moved)) if isinstance(moved, Refusal) else called

    def drop(self, who: Principal, name: str, now: datetime) -> Refusal | None:
        """Forget a draft."""
        found = self.read(who, name)
        return found if isinstance(found, NoDraft) else self._move(who, name, DROPPED, now)

    def sweep(self, before: datetime) -> int:
        """Take off the record what was dropped before a moment, or kept anew, with its blobs;
        returns how many texts of drafts are gone. Those of all planners.
        """
        past = _past(before)
        with self._workspace.database.begin() as connection:
            rows = sa.select(schema.ref_moves.c.target).where(past)
            gone = set(connection.scalars(rows)) - {DROPPED}
            connection.execute(schema.ref_moves.delete().where(past))
            # not by the names found above: one of them may have been kept anew since
            connection.execute(schema.refs.delete().where(*_dropped(before)))
        return sum(self._let_go(blob) for blob in sorted(gone))

    def _let_go(self, blob: str) -> bool:
        """Delete the text of a draft, unless a draft is that by now."""
        is_kept = sa.exists().where(_OURS, schema.refs.c.target == blob)
        with self._workspace.database.connect() as connection:
            if connection.scalar(sa.select(is_kept)):
                return False
        self._workspace.blobs.delete(blob)
        return True

    def past(self, before: datetime) -> tuple[str, ...]:
        """Return what `sweep` would take off the record, as texts for a reader."""
        moves = schema.ref_moves.c
        query = sa.select(moves.name, moves.epoch).where(_past(before))
        with self._workspace.database.connect() as connection:
            rows = connection.execute(query.order_by(moves.name, moves.epoch))
            return tuple(f"{name}@{epoch}" for name, epoch in rows)

    def _move(self, who: Principal, name: str, to: str, now: datetime) -> Refusal | None:
        ref = self._workspace.refs.get(_folder(who) + name_of(name))
        moved = self._workspace.refs.move(
            _folder(who) + name_of(name),
            to=to,
            expect_epoch=0 if ref is None else ref.epoch,
            actor=who.subject,
            reason="a draft of a comparison",
            now=now,
        )
        return moved if isinstance(moved, Refusal) else None


def _dropped(before: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """Return what holds of the refs of drafts that were dropped before a moment."""
    refs = schema.refs.c
    return _OURS, refs.target == DROPPED, refs.moved_at < schema.micros(before)


def _past(before: datetime) -> sa.ColumnElement[bool]:
    """Return what holds of the moves of drafts that are past."""
    refs, moves, limit = schema.refs.c, schema.ref_moves.c, schema.micros(before)
    dropped = sa.select(refs.name).where(*_dropped(before))
    newest = sa.select(refs.epoch).where(refs.name == moves.name).scalar_subquery()
    is_past = sa.or_(moves.name.in_(dropped), moves.epoch < newest)
    return sa.and_(moves.name.startswith(f"{FOLDER}/"), moves.moved_at < limit, is_past)


def _folder(who: Principal) -> str:
    return f"{FOLDER}/{canonical.digest(who.subject)[:24]}/"
