"""Privacy classes on one ladder: who is cleared for one sees that and everything below it."""

from __future__ import annotations

from enum import StrEnum


class Privacy(StrEnum):
    """A class of fields, least private first.

    Contracts classify columns as public, internal, confidential or restricted; views classify
    features as public, internal or personal.
    """

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    PERSONAL = "personal"
    RESTRICTED = "restricted"

    @property
    def rank(self) -> int:
        """Place on the ladder, 0 for the least private."""
        return _RANKS[self]

    def covers(self, other: Privacy) -> bool:
        """Does a clearance for this class open a field of the class `other`?"""
        return self.rank >= other.rank


_RANKS = {privacy: rank for rank, privacy in enumerate(Privacy)}
