"""A source mapping: which columns of which files become which events. Read from
`configs/sources/<name>.yaml`.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cluster.settings import Frozen, load, named
from features.sources.world import WorldConfig


class Lookup(Frozen):
    """Columns taken from another file where its key equals ours."""

    file: str
    key: str
    take: tuple[str, ...]


class Moment(Frozen):
    """A time: a column with its format, or one fixed moment. A date alone is the start of that day,
    UTC.
    """

    column: str | None = None
    format: str = "ISO8601"
    fixed: str | None = None
    plus_hours: float = 0.0

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.column is None) == (self.fixed is None):
            raise ValueError("needs exactly one of 'column' and 'fixed'")
        return self


class Number(Frozen):
    """A number column and the factor that turns it into the contract's integer unit."""

    column: str
    times: float = 1.0


class EventMapping(Frozen):
    """One event per row, where the row has it."""

    kind: str
    name: str
    event_time: Moment
    known_at: Moment
    where: dict[str, tuple[str, ...]] = {}  # column -> accepted values; no values: any but empty
    keys: dict[
        Literal["account", "person", "lead", "opportunity", "campaign", "product", "rep"], str
    ]
    number: Number | None = None
    text: str | None = None

    @property
    def columns(self) -> set[str]:
        """Every column of the file that this event needs."""
        times = {m.column for m in (self.event_time, self.known_at) if m.column}
        others = {self.text} if self.text else set()
        numbers = {self.number.column} if self.number else set()
        return times | others | numbers | set(self.where) | set(self.keys.values())


class FileMapping(Frozen):
    """One file: its row identity, its repairs, and its events."""

    file: str
    row_key: str
    replace: dict[str, dict[str, str]] = {}  # column -> value in the file -> value meant
    lookups: tuple[Lookup, ...] = ()
    events: tuple[EventMapping, ...] = Field(min_length=1)


class SourceMapping(Frozen):
    """A source: a name, a format and its files."""

    source: str
    description: str = ""
    files: tuple[FileMapping, ...] = ()
    world: WorldConfig | None = None  # a synthetic company in place of files

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.files) == (self.world is not None):
            raise ValueError("needs exactly one of 'files' and 'world'")
        return self


def load_source(name: str) -> SourceMapping:
    """Read configs/sources/<name>.yaml, or the file given."""
    return load(SourceMapping, named("sources", name))
