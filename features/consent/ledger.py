"""The ledger: what everybody said, and so who may not be scored. In memory; knows no disk.

One thread adds to it, any may ask: each question is one look into a dictionary.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from features import fingerprint
from features.consent import words
from features.consent.words import Word

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from features.consent.terms import Terms

type Said = dict[int, Word]  # by row, the newest version of each

_NONE = np.empty((0, 2), np.uint64)


class Ledger:
    """Who may not be scored: persons, and the leads that are theirs."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.people: dict[str, Word] = {}  # that may not be scored, by the word that says so
        self.version = 0  # grows with every change of who may not be scored
        self._leads: dict[int, Word] = {}  # by fingerprint
        self._rows: Said = {}
        self._of_person: dict[str, Said] = defaultdict(dict)
        self._of_lead: dict[int, Said] = defaultdict(dict)  # words that name no person
        self._persons: dict[int, str] = {}  # who said anything, by fingerprint
        self._by_lead = _NONE  # pairs of lead and person, sorted
        self._by_person = _NONE  # pairs of person and lead, sorted

    def add(self, found: Iterable[Word], pairs: np.ndarray = _NONE) -> None:
        """Take in words, and which leads and persons were named together: (n, 2) uint64."""
        given = list(found)
        own = [(words.mark(w.lead), words.mark(w.person)) for w in given if w.lead and w.person]
        joined = [pairs, np.array(own, np.uint64).reshape(-1, 2)]
        leads = self._link(np.concatenate(joined))
        for word in given:
            leads |= self._hear(word)
        for lead in leads:
            self._judge(lead)

    def of_lead(self, lead: str) -> Word | None:
        """Return the word for which a lead may not be scored."""
        return self._leads.get(words.mark(lead)) if self._leads else None

    def knows(self, lead: str) -> bool:
        """Is it known whose lead this is, as far as anybody said anything?"""
        return not self._persons or bool(len(_behind(self._by_lead, words.mark(lead))))

    def are_refused(self, entities: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """Return which leads may not be scored: (n,) bool."""
        refused = np.array(list(self._leads), np.uint64)  # a list: others add to it meanwhile
        found: np.ndarray = np.isin(fingerprint.of_cells(entities), refused)
        return found

    def __len__(self) -> int:
        """How many leads may not be scored."""
        return len(self._leads)

    def _link(self, pairs: np.ndarray) -> set[int]:
        """Take pairs in; returns the leads that those who said anything may stand behind."""
        both = words.distinct(np.concatenate([self._by_lead, pairs])) if len(pairs) else None
        if both is None or len(both) == len(self._by_lead):
            return set()
        self._by_lead, self._by_person = both, words.distinct(both[:, ::-1])
        spoke = np.fromiter(self._persons, np.uint64, len(self._persons))
        return set(pairs[np.isin(pairs[:, 1], spoke), 0].tolist())

    def _hear(self, word: Word) -> set[int]:
        """Take a word in, unless a later version is known; returns the leads it may concern."""
        before = self._rows.get(word.row)
        if before is not None and _order(before) >= _order(word):
            return set()
        self._rows[word.row] = word
        concerned = self._weigh(before, None) if before else set()
        return concerned | self._weigh(word, word)

    def _weigh(self, about: Word, said: Word | None) -> set[int]:
        """Note what a row says now, None for nothing more; returns the leads that are theirs."""
        if about.person is None:
            lead = words.mark(about.lead or "")  # its contract names one
            _note(self._of_lead[lead], about.row, said)
            return {lead}
        person = words.mark(about.person)
        self._persons[person] = about.person
        theirs = self._of_person[about.person]
        _note(theirs, about.row, said)
        _note(self.people, about.person, words.stopping(theirs.values(), self.terms))
        return set(_behind(self._by_person, person).tolist())

    def _judge(self, lead: int) -> None:
        """Find out whether a lead may be scored: none of its persons may have forbidden it."""
        own = list(self._of_lead.get(lead, {}).values())
        spoke = (self._persons.get(each) for each in _behind(self._by_lead, lead).tolist())
        said = [[*self._of_person[person].values(), *own] for person in spoke if person]
        stops = (words.stopping(each, self.terms) for each in said or [own])
        before = self._leads.get(lead)
        found = next((word for word in stops if word is not None), None)
        _note(self._leads, lead, found)
        self.version += (before is None) != (found is None)


def _behind(pairs: np.ndarray, key: int) -> np.ndarray:
    """Return what sorted pairs say to a key."""
    first, last = (pairs[:, 0].searchsorted(np.uint64(key), side) for side in ("left", "right"))
    found: np.ndarray = pairs[first:last, 1]
    return found


def _note[K](found: dict[K, Word], key: K, word: Word | None) -> None:
    if word is None:
        found.pop(key, None)
    else:
        found[key] = word


def _order(word: Word) -> tuple[int, int]:
    """Return by what the versions of a row are ordered."""
    return word.known_at, word.content
