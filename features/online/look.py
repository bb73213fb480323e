"""One look at the database: where the base is, and what the tail holds of a shard or an entity.

Both come of one statement, so they are true at one moment: what is no longer in the tail is in the
base that the same look found. Nothing is remembered from look to look, so whatever any process has
committed is in the next one. Statements go to the driver as they are: SQLAlchemy would take several
times as long as the database itself.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from cluster import schema
from features.online.base import REF

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.sql.compiler import SQLCompiler

    from cluster.database import Database

_REFS, _EVENTS, _KEYS = schema.refs.c, schema.online_events.c, schema.online_keys.c


@dataclass(frozen=True, kw_only=True)
class Look[T]:
    """What was there at one moment."""

    epoch: int  # of the ref to the base; 0 where there is none yet
    target: str  # the manifest of the base
    found: list[T]  # in the tail


@dataclass(kw_only=True)
class Both:
    """What was there at one moment, of several entities and shards."""

    epoch: int  # of the ref to the base; 0 where there is none yet
    shards: dict[str, list[str]]  # in the tail, by entity
    events: dict[str, list[bytes]]  # in the tail, packed, by shard


@dataclass(frozen=True, kw_only=True)
class _Statement:
    """A statement in the words of the driver."""

    text: str
    order: tuple[str, ...] | None  # of its parameters; None where they go by name


class Looks:
    """Looks at one database. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._base = _compiled(self._engine, _ref(sa.Text()))
        self._events = _compiled(self._engine, _either(_EVENTS.payload, _EVENTS.shard))
        self._shards = _compiled(self._engine, _either(_KEYS.shard, _KEYS.key))
        self._statements: dict[int, _Statement] = {}  # of `both`, by how many it asks for

    def base(self) -> Look[str]:
        """Look for the base alone."""
        return self._look(self._base, "")

    def events(self, shard: str) -> Look[bytes]:
        """Look for the events of a shard, packed."""
        return self._look(self._events, shard)

    def shards(self, key: str) -> Look[str]:
        """Look for the shards in which an entity, "kind:key", occurs."""
        return self._look(self._shards, key)

    def both(self, names: Collection[str], shards: Collection[str]) -> Both:
        """Look for the shards in which entities occur, "kind:key", and for the events of shards.

        At least one of each, and at most some thousands: databases limit their parameters.
        """
        size = _size(max(len(names), len(shards)))
        statement = self._statements.get(size)
        if statement is None:
            statement = self._statements[size] = _compiled(self._engine, _of_both(size))
        given = {
            "ref": REF,
            **_filled("key", list(names), size),
            **_filled("shard", list(shards), size),
        }
        found = Both(epoch=0, shards=defaultdict(list), events=defaultdict(list))
        for epoch, _, key, shard, payload in self._fetched(statement, given):
            if key is not None:
                found.shards[key].append(shard)
            elif shard is not None:
                found.events[shard].append(payload)
            else:
                found.epoch = epoch
        return found

    def _look(self, statement: _Statement, key: str) -> Look[Any]:
        rows = self._fetched(statement, {"ref": REF, "key": key})
        epoch, target = next(((row[0], row[1]) for row in rows if row[0] is not None), (0, ""))
        found = [row[2] for row in rows if row[0] is None]
        return Look(epoch=epoch, target=target, found=found)

    def _fetched(self, statement: _Statement, given: dict[str, str]) -> list[Any]:
        order = statement.order
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute(statement.text, tuple(given[n] for n in order) if order else given)
            return list(cursor.fetchall())
        finally:
            connection.close()


def _compiled(engine: sa.Engine, question: sa.ClauseElement) -> _Statement:
    made = cast("SQLCompiler", question.compile(engine))
    return _Statement(text=made.string, order=tuple(made.positiontup or ()) or None)


def _ref(beside: sa.types.TypeEngine[Any]) -> sa.Select[Any]:
    """The ref to the base, as (epoch, target, null)."""
    nothing = sa.cast(sa.null(), beside)
    return sa.select(_REFS.epoch, _REFS.target, nothing).where(_REFS.name == sa.bindparam("ref"))


def _either(wanted: sa.Column[Any], key: sa.Column[str]) -> sa.CompoundSelect[Any]:
    """The ref to the base, and rows of the tail as (null, null, wanted)."""
    epoch, target = (sa.cast(sa.null(), column.type) for column in (_REFS.epoch, _REFS.target))
    tail = sa.select(epoch, target, wanted).where(key == sa.bindparam("key"))
    return sa.union_all(_ref(wanted.type), tail)


def _of_both(size: int) -> sa.CompoundSelect[Any]:
    """The ref to the base, the shards of entities and the events of shards: (epoch, target, key,
    shard, payload), null where it is another's.
    """
    types = (_REFS.epoch.type, _REFS.target.type, _KEYS.key.type, _EVENTS.payload.type)
    epoch, target, key, payload = (sa.cast(sa.null(), each) for each in types)
    ref = sa.select(_REFS.epoch, _REFS.target, key, sa.cast(sa.null(), _KEYS.shard.type), payload)
    keys = sa.select(epoch, target, _KEYS.key, _KEYS.shard, payload)
    events = sa.select(epoch, target, key, _EVENTS.shard, _EVENTS.payload)
    return sa.union_all(
        ref.where(_REFS.name == sa.bindparam("ref")),
        keys.where(_KEYS.key.in_(_names("key", size))),
        events.where(_EVENTS.shard.in_(_names("shard", size))),
    )


def _size(count: int) -> int:
    """Return for how many a statement is made that asks for so many: few statements serve all."""
    return 1 << (count - 1).bit_length()


def _filled(name: str, values: Sequence[str], size: int) -> dict[str, str]:
    """Return the parameters of a statement: the last value as often as it takes."""
    return {f"{name}{n}": values[min(n, len(values) - 1)] for n in range(size)}


def _names(name: str, size: int) -> list[sa.BindParameter[str]]:
    return [sa.bindparam(f"{name}{n}", type_=sa.Text()) for n in range(size)]
