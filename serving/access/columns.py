"""Columns: the privacy class of what a source row shows, from the contract of its event. Pure.

Free text, and the key of a row at its source, are personal whatever the contract says: either may
name a person.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cluster.access.privacy import Privacy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from features.contracts import Contract
    from features.contracts.contract import Property

type Classes = Mapping[str, Privacy]  # by column; one that is not there is internal
type Classify = Callable[[str, str], Classes]  # of the kind and the name of an event

_ROW = {"row_key": Privacy.PERSONAL}
_VALUES = {"number": Privacy.PUBLIC, "text": Privacy.PERSONAL}  # the least that they are


def classify(terms: Mapping[str, Contract]) -> Classify:
    """Return what tells the classes of the columns of an event; without a contract for its kind
    its values are restricted.
    """
    return cache(lambda kind, name: {**_ROW, **_values(terms.get(kind), name)})


def _values(terms: Contract | None, name: str) -> Classes:
    if terms is None:
        return dict.fromkeys(_VALUES, Privacy.RESTRICTED)
    found = {column: list(_speaking(terms, column, name)) for column in _VALUES}
    return {column: _strictest(column, each) for column, each in found.items()}


def _speaking(terms: Contract, column: str, name: str) -> Iterator[Property]:
    """Yield the properties that speak for a column of events of a name; all if none does alone."""
    of_column = [each for each in terms.properties if each.column == column]
    yield from [each for each in of_column if name in each.applies_to] or of_column


def _strictest(column: str, found: list[Property]) -> Privacy:
    is_listed = bool(found) and all(each.allowed for each in found)
    least = Privacy.PUBLIC if is_listed else _VALUES[column]
    classes = [least, *(Privacy(each.classification) for each in found)]
    return max(classes, key=lambda each: each.rank)
