"""The cursor: a place in a priority list, held by callers. Pure.

It names the snapshot of the scores, so the pages of a list fit together whatever is scored
meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Self

from cluster.errors import Refusal


class CursorBroken(Refusal):
    """The cursor is none of this list."""


class CursorGone(Refusal):
    """The scores that the cursor goes through are not kept any more."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """A place in a list."""

    list: str
    target: str
    snapshot: int
    place: int  # of the first account that was not given yet
    whose: str = ""  # mark of the rows that are shown; empty: all of them

    def text(self) -> str:
        """Return it as callers get it."""
        said: list[object] = [self.list, self.target, str(self.snapshot), self.place]
        said += [self.whose] if self.whose else []
        packed = json.dumps(said, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Self | CursorBroken:
        """Read what `text` wrote."""
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            name, target, snapshot, place, *more = json.loads(packed)
            whose = more[0] if more else ""
            read = cls(
                list=name, target=target, snapshot=int(snapshot), place=int(place), whose=whose
            )
        except (binascii.Error, ValueError, TypeError):
            return broken(text)
        is_written_so = (
            all(isinstance(v, str) for v in (name, target, whose)) and read.text() == text
        )
        return read if is_written_so and read.place >= 0 else broken(text)


def read(name: str, text: str, whose: str = "") -> Cursor | Refusal:
    """Return the cursor of a list that a caller gives back; one over other rows is broken."""
    found = Cursor.read(text)
    if isinstance(found, Refusal):
        return found
    return found if (found.list, found.whose) == (name, whose) else broken(text)


def broken(text: str) -> CursorBroken:
    shown = "".join(c if c.isprintable() else "?" for c in text[:60])
    return CursorBroken(
        rule="`after` must be the `next` of a page of the same list",
        value=f"'{shown}'",
        remedy="leave it out to start at the first page",
    )


def gone(start: Cursor) -> CursorGone:
    return CursorGone(
        rule=f"the scores {start.snapshot} of '{start.target}' must be kept to go on",
        value="nothing there",
        remedy="leave `after` out to start at the first page of the newest",
    )
