"""The features of one entity at one moment, from the parts of its shard's history: the same bits
as `compute`, in a fraction of a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from features.compute import instant, seen
from features.compute.gathered import Gathered
from features.compute.measures import NONE
from features.compute.program import REAL, WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from features.compute.program import Program
    from features.compute.seen import Ints, Words
    from features.online.history import Part
    from features.views.language import View

type Value = int | float | str | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """An entity at a moment, and its features by name."""

    keys: Mapping[str, str | None]  # entity, account and any other
    time: int  # T in microseconds
    features: dict[str, Value]


def row(program: Program, parts: Sequence[Part], keys: Mapping[str, str | None], at: int) -> Row:
    """Return the features of the row with `keys` ("entity", "account" and any other) at T, given
    the parts of the history of its shard.
    """
    gathered = Gathered(program, parts)
    masks = seen.choices(gathered.facts, program.tables, at)
    shares = gathered.shares(program.view.entity, keys["entity"])
    return _row(program, gathered, (masks, shares), keys, at)


def anchored(program: Program, gathered: Gathered, entity: str, at: int) -> Row | None:
    """Return the same for an entity whose account is that of its anchor; None while its anchor is
    not known. `gathered` is what the program needs of the parts.
    """
    masks = seen.choices(gathered.facts, program.tables, at)
    shares = gathered.shares(program.view.entity, entity)
    place = seen.first(gathered.facts, masks, shares, program.anchor)
    if place < 0:
        return None
    keys = {"entity": entity, "account": gathered.text("account", place)}
    return _row(program, gathered, (masks, shares), keys, at)


def table(view: View, spine: pa.Table, rows: Sequence[Row]) -> pa.Table:
    """Return the rows of a spine with their features, as `compute` does."""
    columns = [pa.array([row.features[f.name] for row in rows], f.type) for f in view.features]
    fields = [pa.field(feature.name, feature.type) for feature in view.features]
    return pa.Table.from_arrays(
        [*spine.columns, *columns], schema=pa.schema([*spine.schema, *fields])
    )


def _row(
    program: Program,
    gathered: Gathered,
    known: tuple[Words, Ints],
    keys: Mapping[str, str | None],
    at: int,
) -> Row:
    """Return a row; `known` are what events may be of, and those of the entity."""
    masks, own = known
    shares = np.stack([own, *(gathered.shares(key, keys[key]) for key in program.keys[1:])])
    whole, reals = instant.features(gathered.facts, program.tables, (masks, shares), at)
    values: dict[str, Value] = {}
    for (name, how), number, real in zip(
        program.results, whole.tolist(), reals.tolist(), strict=True
    ):  # in place: this is a third of a row's time
        if how == REAL:
            values[name] = real if real == real else None
        elif number == NONE:
            values[name] = None
        else:
            values[name] = number if how == WHOLE else _of_event(gathered, how, number)
    return Row(keys=keys, time=at, features=values)


def _of_event(gathered: Gathered, column: str, place: int) -> Value:
    return gathered.number(place) if column == "number" else gathered.text(column, place)
