"""Refs: names that point at immutable things and move only by compare-and-swap.

Every move raises the epoch of its name by one and is kept, so that "what was it then" has an
answer and going back is one more move.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cluster import errors, schema

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def move(
        self, name: str, *, to: str, expect_epoch: int, actor: str, reason: str, now: datetime
    ) -> Ref | errors.Refusal:
        """Point `name` at `to` if its epoch is still `expect_epoch` (0: it does not exist yet).

        Durable when it returns a Ref. Of several movers who expect the same epoch exactly one gets
        a Ref, the others a Refusal that names the epoch found.
        """
        moved = Ref(
            name=schema.checked_name("the name of a ref", name),
            target=schema.checked_name("the target of a ref", to),
            epoch=expect_epoch + 1,
            moved_at=now,
            actor=schema.checked_name("the actor of a move", actor),
            reason=reason,
        )
        witness = self._witness(moved)
        return moved if self._swap(moved, expect_epoch, witness) else self._lost(name, expect_epoch)

    def history(self, name: str) -> list[Ref]:
        """Return every move of `name`, oldest first."""
        moves = schema.ref_moves
        query = sa.select(moves).where(moves.c.name == name).order_by(moves.c.epoch)
        with self._database.connect() as connection:
            return [_ref(row) for row in connection.execute(query).mappings()]

    def _witness(self, moved: Ref) -> Witness | None:
        """Return what else is written with a move: here nothing (cluster/access/governed.py)."""
        return None

    def _swap(self, moved: Ref, expect_epoch: int, witness: Witness | None) -> bool:
        row = _row(moved)
        try:
            with self._database.begin() as connection:
                # Only of an update does every driver say how many rows; an insert raises instead.
                if connection.execute(self._change(row, expect_epoch)).rowcount == 0:
                    return False
                connection.execute(schema.ref_moves.insert().values(row))
                if witness is not None:
                    witness(connection)
        except sa.exc.IntegrityError:
            if expect_epoch == 0:  # another mover created the name first
                return False
            raise
        return True

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
