"""A source mapping: which columns of which files become which events. Read from
`configs/sources/<name>.yaml`; the language is closed, an unknown word is refused.
"""

from __future__ import annotations

import codecs
from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from cluster.settings import Frozen, load, named
from features.sources.phrases import (
    SOURCE_ROW,
    Fixed,
    Moment,
    Names,
    Number,
    Order,
    Replaced,
    Taken,
    Where,
    Words,
)
from features.sources.world import WorldConfig

type Format = Literal["csv", "parquet", "jsonl", "sql"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}


class Lookup(Frozen):
    """Columns taken from another file where its key equals a column of ours."""

    file: str
    key: str
    column: str | None = None  # ours; by default called like the key
    take: dict[str, str] | tuple[str, ...]  # names there, or our name -> name there

    @property
    def taken(self) -> dict[str, str]:
        """Our name -> name there."""
        return self.take if isinstance(self.take, dict) else {name: name for name in self.take}

    @property
    def ours(self) -> str:
        """The column of ours that is looked up."""
        return self.column or self.key


class PersonMapping(Frozen):
    """A person whom a row names: the key becomes a pseudonym, the fields go to the vault."""

    key: str
    namespace: str = Field(pattern=r"^[a-z][a-z0-9-]*$")  # keys in two of them are two persons
    fields: dict[str, str] = {}  # field in the vault -> column; none: a pseudonym and no more


class Query(Frozen):
    """Rows of a SQL database in place of a file."""

    url_env: str  # environment variable that holds the SQLAlchemy URL
    statement: str

    @field_validator("statement")
    @classmethod
    def _ordered(cls, statement: str) -> str:
        if "order by" not in " ".join(statement.lower().split()):
            raise ValueError("a statement must say 'order by', so that row numbers are stable")
        return statement


class EventMapping(Frozen):
    """One event per row, where the row has it."""

    kind: Fixed
    name: Fixed
    slot: str = ""  # tells two mappings of one kind and name apart in the row key
    event_time: Moment
    known_at: Moment
    where: dict[str, Where] = {}  # column -> condition; a list of values: one of them; []: present
    keys: dict[
        Literal["account", "person", "lead", "opportunity", "campaign", "product", "rep"], Taken
    ]
    number: Number | None = None
    text: Taken | None = None

    @model_validator(mode="after")
    def _happens_by_itself(self) -> Self:
        if self.event_time.lag_hours is not None:
            raise ValueError("event_time cannot be a lag: 'lag_hours' is for known_at")
        return self

    @property
    def columns(self) -> set[str]:
        """Every column of the file that this event needs."""
        words: list[Words] = [self.kind, self.name, *self.keys.values()]
        words += [self.text] if self.text else []
        found = set(self.where) | (self.number.columns if self.number else set())
        found |= {column for word in words for column in word.columns}
        return found | self.event_time.columns | self.known_at.columns

    @property
    def place(self) -> str:
        """What stands in the row key for this event: the name, or the column that names it."""
        if self.slot:
            return self.slot
        return ".".join(words.fixed or f"[{words.column}]" for words in (self.kind, self.name))


class FileMapping(Frozen):
    """One file or many of one shape: their row identity, their repairs, and their events."""

    file: str = ""  # below the folder; a glob; "a.zip!*.csv" for members of an archive
    query: Query | None = None
    format: Format | None = None  # by default from the suffix
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str = Field(default='"', min_length=1, max_length=1)
    encoding: str = "utf-8"
    newlines_in_values: bool | None = None  # by default found out
    empty: tuple[str, ...] = ()  # words that mean: no value
    each: str | None = None  # path of a list: one row per item, beside the fields of its parent
    row_key: Names
    replace: dict[str, Replaced] = {}  # column -> value in the file -> value meant
    lookups: tuple[Lookup, ...] = ()
    people: tuple[PersonMapping, ...] = ()
    optional: tuple[str, ...] = ()  # columns that an export may lack
    opaque: tuple[str, ...] = ()  # columns that are pseudonyms of persons already
    order: Order | None = None
    events: tuple[EventMapping, ...] = Field(min_length=1)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            return codecs.lookup(encoding).name.removesuffix("-sig")
        except LookupError as error:
            raise ValueError(f"unknown encoding '{encoding}': utf-8, cp1252, utf-16 ...") from error

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.file) == (self.query is not None):
            raise ValueError("needs exactly one of 'file' and 'query'")
        if self.order is None and any(
            m.order for e in self.events for m in (e.event_time, e.known_at)
        ):
            raise ValueError("a time by 'order' needs the 'order' of its file: column and start")
        if self.kind_of_file is None:
            raise ValueError(f"'{self.file}' does not tell its format: add 'format'")
        if self.each is not None and self.kind_of_file in {"csv", "sql"}:
            raise ValueError(
                f"'each' needs JSON lines or Parquet, got {self.kind_of_file}: no list"
            )
        return self

    @property
    def kind_of_file(self) -> Format | None:
        """The format, declared or by suffix; None when neither tells."""
        if self.query is not None:
            return "sql"
        name = PurePosixPath(self.file.rpartition("!")[2].lower().removesuffix(".gz"))
        return self.format or SUFFIXES.get(name.suffix)

    @property
    def columns(self) -> set[str]:
        """Every column that the file or its lookups must have."""
        own = {*self.row_key, *self.replace, *self.opaque, *(k.ours for k in self.lookups)}
        own |= {column for p in self.people for column in (p.key, *p.fields.values())}
        own |= {self.order.column} if self.order else set()
        return own.union(*(event.columns for event in self.events))

    @property
    def read_columns(self) -> set[str]:
        """The columns that the file itself must have."""
        looked_up = {name for lookup in self.lookups for name in lookup.taken}
        return self.columns - looked_up - {SOURCE_ROW}


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

    @property
    def by(self) -> Literal["date", "order"]:
        """What its times are: dates, or an order on a nominal clock that is no date."""
        return "order" if any(file.order for file in self.files) else "date"


def load_source(name: str) -> SourceMapping:
    """Read configs/sources/<name>.yaml, or the file given."""
    return load(SourceMapping, named("sources", name))
