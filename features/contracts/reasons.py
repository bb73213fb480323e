"""The words for a broken rule: "rule: value", where the value shows only what is safe to show.

A reason is a function of the rule and the value alone, so that the same bad row has the same reason
in whatever company it comes. A value in the wrong column may be anybody's name or number: it is
quoted when it is nearly a valid one or a short code, and else described by its shape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.contracts import identifying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LONGEST_SHAPE = 24  # letters
LONGEST_HINT = 40  # letters of a value that may be a misspelt valid one
MOST_LISTED = 6  # valid values that a reason lists when none is near
MOST_DIGITS = 6  # a longer number may be a phone's, a person's or an account's
_CODE = re.compile(r"[a-z0-9_-]{1,24}(?:\.[0-9]{1,3})?", re.ASCII)

type Cells = pa.Array | pa.ChunkedArray


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Rows that break a rule in one column."""

    rows: np.ndarray  # int64 positions in the whole table
    column: str
    reasons: Sequence[str] | pa.Array  # one per row, strings


NOTHING = Broken(rows=np.empty(0, dtype=np.int64), column="", reasons=())


@dataclass(frozen=True, kw_only=True)
class Valid:
    """A list of valid values, and how to find the one that was meant."""

    values: tuple[str, ...]
    by_spelling: dict[str, str]  # a value and what is left of it without one letter -> the value

    @classmethod
    def of(cls, values: Iterable[str]) -> Valid:
        """Return the list with its spellings."""
        ordered = tuple(values)
        spellings = {s: value for value in reversed(ordered) for s in _spellings(value)}
        return cls(values=ordered, by_spelling=spellings)

    def meant(self, value: str) -> str | None:
        """Return the valid value that differs in case, marks or about one letter, or None."""
        if len(value) > LONGEST_HINT:
            return None
        return next((self.by_spelling[s] for s in _spellings(value) if s in self.by_spelling), None)


def broken(
    column: str, rows: np.ndarray, values: Cells, words: Callable[[str | None], str]
) -> Broken:
    """Say `words` of the value of each row; it is asked once per distinct value."""
    coded = pc.dictionary_encode(values.cast(pa.string()), null_encoding="encode")
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    said = pa.array([words(value) for value in coded.dictionary.to_pylist()], pa.string())
    return Broken(rows=rows, column=column, reasons=said.take(coded.indices))


def of_text(rule: str, valid: Valid | None = None, *, is_private: bool = False) -> Words:
    """Return the words for a string that breaks a rule."""
    return Words(rule=rule, valid=valid, is_private=is_private)


def of_number(rule: str) -> Callable[[str | None], str]:
    """Return the words for an integer, given as text, that breaks a rule."""

    def words(value: str | None) -> str:
        digits = len((value or "").lstrip("-"))
        shown = f"a number of {digits} digits" if digits > MOST_DIGITS else value or "absent"
        return f"{rule}: {shown}"

    return words


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words for a string that breaks a rule."""

    rule: str
    valid: Valid | None
    is_private: bool

    def __call__(self, value: str | None) -> str:
        """Return the reason."""
        if not value:
            return f"{self.rule}: absent"
        if self.is_private:
            return f"{self.rule}: a private value of {_letters(value)}"
        meant = self.valid.meant(value) if self.valid else None
        if meant:
            return f"{self.rule}: '{value}' (did you mean '{meant}'?)"
        return f"{self.rule}: {shown(value)}{self._valid_ones()}"

    def _valid_ones(self) -> str:
        few = self.valid.values if self.valid and len(self.valid.values) <= MOST_LISTED else ()
        return f" (valid are: {', '.join(few)})" if few else ""


def shown(value: str) -> str:
    """Return a string as a message may show it: a short code in quotes, of all else the shape.

    >>> shown("web_visit"), shown("Jo Doe 42")
    ("'web_visit'", "a value of 9 letters like 'Aa Aaa 99'")
    """
    digits = sum(letter.isdigit() for letter in value)
    if _CODE.fullmatch(value) and digits <= MOST_DIGITS and not identifying.is_identifying(value):
        return f"'{value}'"
    shape = "".join(_shape(letter) for letter in value[:LONGEST_SHAPE])
    more = "..." if len(value) > LONGEST_SHAPE else ""
    return f"a value of {_letters(value)} like '{shape}{more}'"


def _shape(letter: str) -> str:
    if letter.isdigit():
        return "9"
    if letter.isalpha():
        return "A" if letter.isupper() else "a"
    return letter if letter.isprintable() and letter.isascii() else "?"


def _letters(value: str) -> str:
    return f"{len(value)} letter" if len(value) == 1 else f"{len(value)} letters"


def _spellings(value: str) -> list[str]:
    plain = re.sub(r"[\s_.-]+", "", value.casefold())
    return [plain, *(plain[:i] + plain[i + 1 :] for i in range(len(plain)) if len(plain) > 3)]
