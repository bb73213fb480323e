"""A synthetic company as a source: each part of it is a strip, its persons become pseudonyms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from features import log
from features.sources import amounts, lot, moments, world
from features.sources.lot import PEOPLE, WORLD, Mapped, Strip
from features.sources.phrases import Moment, Number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from features.sources.lot import Pseudonyms
    from features.sources.world import WorldConfig

NAMESPACE = "world-contact"  # of the keys of its persons
ROWS_PER_PART = 500_000  # at most


def strips(config: WorldConfig) -> list[Strip]:
    """Return one strip per part."""
    return [Strip(file=WORLD, part=part) for part in range(world.parts(config))]


def lots(config: WorldConfig, strip: Strip, pseudonyms: Pseudonyms, rows: int) -> Iterator[Mapped]:
    """Yield the events of a part, at most so many at once, its people with the first."""
    part = world.generate_part(config, strip.part)
    people = part.people.set_column(
        0, "subject", pseudonyms(NAMESPACE, part.people["subject"].combine_chunks())
    )
    for start in range(0, max(part.events.num_rows, 1), rows):
        yield _mapped(part.events.slice(start, rows), pseudonyms, people if start == 0 else None)


def repaired(table: pa.Table, pseudonyms: Pseudonyms) -> Mapped:
    """Map corrected rows: the columns of the log as strings."""
    read = {
        "event_time": lambda cells: moments.moments(cells, Moment(column="event_time")).values,
        "known_at": lambda cells: moments.moments(cells, Moment(column="known_at")).values,
        "number": lambda cells: amounts.integers(cells, Number(column="number")).values,
        "source_row": lambda cells: cells.cast(pa.int64()),
    }
    columns = {
        name: read.get(name, lambda cells: cells)(table[name].combine_chunks())
        for name in log.CANDIDATE.names
    }
    return _mapped(pa.table(columns, schema=log.CANDIDATE), pseudonyms, None)


def _mapped(events: pa.Table, pseudonyms: Pseudonyms, people: pa.Table | None) -> Mapped:
    place = events.schema.get_field_index("person")
    persons = pseudonyms(NAMESPACE, events["person"].combine_chunks())
    return Mapped(
        events=events.set_column(place, "person", persons),
        origin=np.arange(events.num_rows),
        raw=lot.as_text(events),
        broken=[],
        unreadable=[],
        people=PEOPLE.empty_table() if people is None else people.cast(PEOPLE),
    )
