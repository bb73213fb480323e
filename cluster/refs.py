"""Refs: names that point at immutable things and move only by compare-and-swap.

Every move raises the epoch of its name by one and is kept, so that "what was it then" has an
answer and going back is one more move. Several may move together: all of them, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cluster import errors, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cluster.database import Database

    type Witness = Callable[[sa.Connection], None]  # writes in the transaction of a move


@dataclass(frozen=True, kw_only=True)
class Ref:
    """Where a name points since `moved_at`."""

    name: str
    target: str  # the id of something immutable: a blob, a snapshot, a document
    epoch: int  # 1 for the first move of a name, then one more for each
    moved_at: datetime  # UTC
    actor: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Move:
    """One ref that is to be moved, if its epoch is still `expect_epoch` (0: it does not exist)."""

    name: str
    to: str
    expect_epoch: int

    def made(self, *, actor: str, reason: str, now: datetime) -> Ref:
        """Return the ref once it is moved; WrongUse for names that cannot be kept."""
        return Ref(
            name=schema.checked_name("the name of a ref", self.name),
            target=schema.checked_name("the target of a ref", self.to),
            epoch=self.expect_epoch + 1,
            moved_at=now,
            actor=schema.checked_name("the actor of a move", actor),
            reason=reason,
        )


class Refs:
    """The refs of one database. Safe to share between threads and with other processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Ref | None:
        """Return where `name` points now; None if it was never moved."""
        query = sa.select(schema.refs).where(schema.refs.c.name == name)
        with self._database.connect() as connection:
            row = connection.execute(query).mappings().first()
        return _ref(row) if row else None

    def under(self, prefix: str) -> list[Ref]:
        """Return the refs whose names begin so, by name."""
        query = sa.select(schema.refs).where(schema.refs.c.name.startswith(prefix, autoescape=True))
        with self._database.connect() as connection:
            found = [_ref(row) for row in connection.execute(query).mappings()]
        # capitals, and the order of names, are not the same to every database
        return sorted((each for each in found if each.name.startswith(prefix)), key=_name)

    def move(
        self, name: str, *, to: str, expect_epoch: int, actor: str, reason: str, now: datetime
    ) -> Ref | errors.Refusal:
        """Point `name` at `to` if its epoch is still `expect_epoch` (0: it does not exist yet).

        Durable when it returns a Ref. Of several movers who expect the same epoch exactly one gets
        a Ref, the others a Refusal that names the epoch found.
        """
        one = Move(name=name, to=to, expect_epoch=expect_epoch)
        moved = self.move_all([one], actor=actor, reason=reason, now=now)
        return moved if isinstance(moved, errors.Refusal) else moved[0]

    def move_all(
        self,
        moves: Sequence[Move],
        *,
        actor: str,
        reason: str,
        now: datetime,
        witness: Witness | None = None,
    ) -> list[Ref] | errors.Refusal:
        """Move several refs in one transaction, in which `witness` writes too: all, or a Refusal
        that names the first whose epoch is another.
        """
        moved = [each.made(actor=actor, reason=reason, now=now) for each in moves]
        witnesses = [*map(self._witness, moved), witness]
        lost = self._swap(moved, [each for each in witnesses if each])
        return moved if lost is None else self._lost(lost.name, lost.epoch - 1)

    def ask(self, name: str) -> None:
        """Raise if a ref may not be moved by who would; here all may (access/governed.py)."""

    def history(self, name: str) -> list[Ref]:
        """Return every move of `name`, oldest first."""
        moves = schema.ref_moves
        query = sa.select(moves).where(moves.c.name == name).order_by(moves.c.epoch)
        with self._database.connect() as connection:
            return [_ref(row) for row in connection.execute(query).mappings()]

    def _witness(self, moved: Ref) -> Witness | None:
        """Return what else is written with a move: here nothing (cluster/access/governed.py)."""
        return None

    def _swap(self, moved: Sequence[Ref], witnesses: Sequence[Witness]) -> Ref | None:
        """Return the ref that had moved meanwhile; None when all are moved."""
        at: Ref | None = None
        try:
            with self._database.begin() as connection:
                for at in sorted(moved, key=_name):  # in one order: two movers never wait in a ring
                    self._put(connection, at)
                at = None
                for witness in witnesses:
                    witness(connection)
        except _Lost:
            return at
        except sa.exc.IntegrityError:
            if at is not None and at.epoch == 1:  # another mover created the name first
                return at
            raise
        return None

    def _put(self, connection: sa.Connection, moved: Ref) -> None:
        row = _row(moved)
        # Only of an update does every driver say how many rows; an insert raises instead.
        if connection.execute(self._change(row, moved.epoch - 1)).rowcount == 0:
            raise _Lost
        connection.execute(schema.ref_moves.insert().values(row))

    def _change(self, row: dict[str, Any], expect_epoch: int) -> sa.Insert | sa.Update:
        if expect_epoch == 0:
            return schema.refs.insert().values(row)
        current = schema.refs.c
        unmoved = sa.and_(current.name == row["name"], current.epoch == expect_epoch)
        return schema.refs.update().where(unmoved).values(row)

    def _lost(self, name: str, expect_epoch: int) -> errors.Refusal:
        found = self.get(name)
        held = f"epoch {found.epoch} at '{found.target}'" if found else "no such ref"
        return errors.Refusal(
            rule=f"'{name}' must still be at epoch {expect_epoch}",
            value=held,
            remedy="read the ref again, decide again, and move it from the epoch read",
        )


def _name(ref: Ref) -> str:
    return ref.name


class _Lost(Exception):
    """Another moved the ref meanwhile; what was done in the transaction is undone."""


def _row(ref: Ref) -> dict[str, Any]:
    return {
        "name": ref.name,
        "target": ref.target,
        "epoch": ref.epoch,
        "moved_at": schema.micros(ref.moved_at),
        "actor": ref.actor,
        "reason": ref.reason,
    }


def _ref(row: sa.RowMapping) -> Ref:
    return Ref(**{**row, "moved_at": schema.moment(row["moved_at"])})
