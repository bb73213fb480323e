"""JSON as RFC 8259 means it where it leaves a choice: UTF-8, no NaN, no name twice in an object.

Parsers disagree on a name that stands twice: a proxy may check the first and we act on the last. So
it is refused. Objects of very many members are refused while they are read, as nothing that we take
has them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cluster.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_MEMBERS = 256  # of one object


class NotStrict(ValueError):
    """It can be read as JSON, and must not be."""

    def __init__(self, rule: str, value: str, remedy: str) -> None:
        self.refusal = Refusal(rule=rule, value=value, remedy=remedy)
        super().__init__(str(self.refusal))


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrict("an object must have each name once", "one twice", "leave one out")
    if len(found) > MOST_MEMBERS:
        rule = f"an object must have at most {MOST_MEMBERS} members"
        raise NotStrict(rule, str(len(found)), "leave out what is not asked for")
    return found


def _no_constant(word: str) -> Any:
    raise NotStrict("a number must be finite", word, "send null where there is none")


_decode = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant).decode


def loads(data: bytes, constant: Callable[[str], Any] | None = None) -> Any:
    """Return the value in `data`, bytes of UTF-8. `constant` says what NaN and Infinity stand for.

    ValueError when it is not JSON (NotStrict says why, fit for its sender), RecursionError when it
    is too deep.
    """
    if constant is None:
        return _decode(data.decode())
    return json.loads(data.decode(), object_pairs_hook=_members, parse_constant=constant)
