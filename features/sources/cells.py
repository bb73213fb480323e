"""The cells of one lot, column by column, as the events of a mapping may use them.

What is read is trimmed, its words for "no value" made absent, repaired by replacements, joined with
lookups; the key of a person then becomes a pseudonym wherever an event uses it. Each column is
prepared once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.contracts.identifying import scrubbed
from features.sources import lot, nested
from features.sources.parsing import Parsed, failed
from features.sources.phrases import SOURCE_ROW

if TYPE_CHECKING:
    from features.sources.lot import Pseudonyms, Rows
    from features.sources.mapping import FileMapping
    from features.sources.phrases import Words

type Table = dict[str, pa.Array]  # columns of a lookup, its key distinct

STRING = pa.string()


@dataclass(kw_only=True)
class Cells:
    """The prepared columns of one lot."""

    file: FileMapping
    rows: Rows
    lookups: dict[str, Table]  # our name of a column -> the table it is taken from
    pseudonyms: Pseudonyms
    _clear: dict[str, Parsed] = field(default_factory=dict)
    _usable: dict[str, pa.Array] = field(default_factory=dict)
    _others: dict[object, Parsed] = field(default_factory=dict)
    _broken: dict[str, dict[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        table = nested.told(self.file, self.rows.table)
        self.rows = replace(self.rows, table=table)
        self._broken |= {path: _nested(self.file, table, path) for path in nested.marked(table)}

    def __len__(self) -> int:
        return int(self.rows.table.num_rows)

    def once(self, key: object, make: Callable[[], Parsed]) -> Parsed:
        """Return what `make` gave for this key the first time."""
        if key not in self._others:
            self._others[key] = make()
        return self._others[key]

    def clear(self, column: str) -> Parsed:
        """Return a column in the clear, as strings: for conditions and for the vault."""
        if column not in self._clear:
            values = self._replaced(column).values
            self._clear[column] = Parsed(values=values, reasons=self.broken(column))
        return self._clear[column]

    def broken(self, *columns: str) -> dict[int, str]:
        """Return the rows in which an object, a list or a value that its replacement refuses stands
        in one of some columns, or in the column by which it is looked up, and why they are broken.
        """
        found: dict[int, str] = {}
        for column in columns if self._broken or self.file.replace else ():
            is_taken = self._is_taken(column)
            found |= self._unlisted(column)
            found |= self.broken(self._ours(column)) if is_taken else self._broken.get(column, {})
        return found

    def _unlisted(self, column: str) -> dict[int, str]:
        """Return the rows whose value the replacement of a column refuses."""
        return self._replaced(column).reasons if column in self.file.replace else {}

    def usable(self, column: str) -> pa.Array:
        """Return a column as an event may hold it: a person as a pseudonym."""
        if column not in self._usable:
            texts = self.clear(column).values
            for person in self.file.people:
                if person.key == column:
                    texts = self.pseudonyms(person.namespace, texts)
            self._usable[column] = texts
        return self._usable[column]

    def typed(self, column: str) -> pa.Array:
        """Return a column as it was read where nothing was to be repaired: for times, numbers."""
        is_own = column in self.rows.table.column_names and column not in self.file.replace
        if is_own and not pa.types.is_string(self.rows.table.schema.field(column).type):
            return _whole(self.rows.table[column])
        return self.clear(column).values

    def words(self, words: Words) -> Parsed:
        """Return the strings that a mapping makes of a column or of a fixed value."""
        if words.column is None:
            return Parsed(values=pa.repeat(pa.scalar(words.fixed, STRING), len(self)))
        parsed = Parsed(values=self.usable(words.column), reasons=self.clear(words.column).reasons)
        if words.values:
            parsed = _translated(parsed, words.values, words.others)
        if words.snake or words.free_text or words.longest:
            return Parsed(values=_dressed(parsed.values, words), reasons=parsed.reasons)
        return parsed

    def people(self) -> pa.Table:
        """Return what the vault is to keep of this lot: PEOPLE columns, distinct."""
        parts = [lot.PEOPLE.empty_table()]
        for person in self.file.people:
            subjects = self.usable(person.key)
            for name, column in person.fields.items():
                pairs = pa.table({"subject": subjects, "value": self.clear(column).values})
                pairs = pairs.group_by(["subject", "value"], use_threads=False).aggregate([])
                pairs = pairs.drop_null()
                names = pa.repeat(pa.scalar(name, STRING), pairs.num_rows)
                parts.append(pa.table([pairs["subject"], names, pairs["value"]], schema=lot.PEOPLE))
        return pa.concat_tables(parts)

    def _found(self, column: str) -> pa.Array:
        if column == SOURCE_ROW:
            return pa.array(self.rows.numbers).cast(STRING)
        if self._is_taken(column):
            table = self.lookups[column]
            places = pc.index_in(self.clear(self._ours(column)).values, value_set=table[""])
            return table[column].take(places)
        if column not in self.rows.table.column_names:
            return pa.nulls(len(self), STRING)
        texts = present(lot.text_of(_whole(self.rows.table[column])), self.file.empty)
        rows = self._broken.get(column)
        return _without(texts, list(rows)) if rows else texts

    def _is_taken(self, column: str) -> bool:
        return column in self.lookups and column not in self.rows.table.column_names

    def _ours(self, column: str) -> str:
        return next(k.ours for k in self.file.lookups if column in k.taken)

    def _replaced(self, column: str) -> Parsed:
        meant = self.file.replace.get(column)
        if meant is None:
            return Parsed(values=self._found(column))
        return self.once(
            ("replaced", column),
            lambda: _translated(Parsed(values=self._found(column)), meant.values, meant.others),
        )


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def present(texts: pa.Array, empty: tuple[str, ...]) -> pa.Array:
    texts = pc.utf8_trim_whitespace(texts)
    is_empty = pc.equal(pc.binary_length(texts), 0)
    if empty:
        is_empty = pc.or_(is_empty, pc.is_in(texts, value_set=pa.array(empty, STRING)))
    return pc.if_else(is_empty, None, texts) if pc.any(is_empty, min_count=0).as_py() else texts


def _nested(file: FileMapping, table: pa.Table, path: str) -> dict[int, str]:
    """Return the rows in which a path holds an object or a list; a repair put other texts there."""
    texts = present(lot.text_of(_whole(table[path])), file.empty)
    starts, said = pc.utf8_slice_codeunits(texts, 0, 1), _whole(table[path + nested.NESTED])
    found: dict[int, str] = {}
    for what, start in ((nested.OBJECT, "{"), (nested.LIST, "[")):
        is_it = pc.and_(pc.equal(said, what), pc.equal(starts, start))
        rows = np.flatnonzero(pc.fill_null(is_it, False).to_numpy(zero_copy_only=False))
        rule = f"field '{path}' must be a text, number, boolean or null, got {what}"
        found |= dict.fromkeys(rows.tolist(), f"is no object or list: {rule}")
    return found


def _without(texts: pa.Array, rows: list[int]) -> pa.Array:
    is_left_out = np.zeros(len(texts), dtype=bool)
    is_left_out[rows] = True
    return pc.if_else(pa.array(is_left_out), None, texts)


def _translated(parsed: Parsed, values: dict[str, str], others: str) -> Parsed:
    texts = parsed.values
    places = pc.index_in(texts, value_set=pa.array(list(values), STRING))
    meant = pa.array(list(values.values()), STRING).take(places)
    if others == "keep":
        return Parsed(values=pc.coalesce(meant, texts), reasons=parsed.reasons)
    if others == "null":
        return Parsed(values=meant, reasons=parsed.reasons)
    rule = "is on the list of its mapping"
    return Parsed(values=meant, reasons=failed(texts, meant, rule) | parsed.reasons)


def _dressed(texts: pa.Array, words: Words) -> pa.Array:
    """Work on the distinct values alone: names repeat, and so do most texts."""
    coded = texts.dictionary_encode()
    distinct = coded.dictionary
    if words.free_text:
        distinct = scrubbed(distinct)
    if words.snake:
        distinct = pc.replace_substring_regex(pc.utf8_lower(distinct), r"[^\p{L}\p{N}]+", "_")
        distinct = pc.utf8_trim(distinct, characters="_")
    if words.longest:
        distinct = pc.utf8_slice_codeunits(distinct, 0, words.longest)
    return distinct.take(coded.indices)
