"""Words: what persons allowed and forbade, out of events of kind `consent`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import fingerprint, log
from features.consent.terms import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from features.consent.terms import Terms

KIND = "consent"
COLUMNS = ("event_id", "kind", "name", "text", "event_time", "known_at", "person", "lead")
LINKS = ("kind", "lead", "person")


class Word(NamedTuple):
    """One version of what somebody said."""

    row: int  # first half of the event's id: versions have it in common
    content: int  # second half
    known_at: int  # microseconds since 1970
    event_time: int
    name: str
    purpose: str
    person: str | None
    lead: str | None

    @property
    def id(self) -> str:
        """The id of the event, 32 hexadecimal digits."""
        return f"{self.row:016x}{self.content:016x}"


def of_events(events: pa.Table) -> list[Word]:
    """Return the words among events (COLUMNS)."""
    mine = events.filter(pc.equal(events["kind"], KIND))
    if not mine.num_rows:
        return []
    rows, contents = (half.tolist() for half in log.halves(mine["event_id"]))
    times = (log.microseconds(mine[name]).tolist() for name in ("known_at", "event_time"))
    texts = (
        mine[name].cast(pa.string()).to_pylist() for name in ("name", "text", "person", "lead")
    )
    columns = zip(rows, contents, *times, *texts, strict=True)
    return [
        Word(row, content, known, when, name, purpose or ALL, person, lead)
        for row, content, known, when, name, purpose, person, lead in columns
    ]


def newest(words: Iterable[Word], terms: Terms) -> Word | None:
    """Return the word that counts: the newest, of two of one moment the one that stops."""
    return max(
        (word for word in words if terms.counts(word.name, word.purpose)),
        key=lambda word: (word.event_time, word.name in terms.stops, word.known_at, word.content),
        default=None,
    )


def stopping(words: Iterable[Word], terms: Terms) -> Word | None:
    """Return the word that stops scoring; None if the newest does not."""
    found = newest(words, terms)
    return found if found is not None and found.name in terms.stops else None


def mark(text: str) -> int:
    """Return the fingerprint of a key."""
    data = np.frombuffer(text.encode(), np.uint8)
    return int(fingerprint.of_text(data, 0, len(data)))


def links(events: pa.Table) -> np.ndarray:
    """Return which leads and persons events (LINKS) name together: fingerprints (n, 2) uint64, each
    pair once; ABSENT in the place of a person that is not named.
    """
    named = events.filter(pc.is_valid(events["lead"]))
    return distinct(np.column_stack([fingerprint.of_cells(named[n]) for n in ("lead", "person")]))


def distinct(pairs: np.ndarray) -> np.ndarray:
    """Return pairs (n, 2), sorted, each once, column by column in memory."""
    ordered = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    is_first = np.ones(len(ordered), np.bool_)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    found: np.ndarray = np.asfortranarray(ordered[is_first])
    return found


def said(word: Word) -> dict[str, Any]:
    """Return a word as plain JSON values."""
    return word._asdict()


def read(said: dict[str, Any]) -> Word:
    """Return a word from what `said` gave."""
    return Word(**said)
