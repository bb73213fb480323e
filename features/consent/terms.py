"""The document configs/consent.yaml: which words of a person stop scoring, and which lift that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.settings import CONFIGS, Frozen, load

if TYPE_CHECKING:
    from pathlib import Path

FILE = CONFIGS / "consent.yaml"
ALL = "all"  # the purpose of a word that names none


class Terms(Frozen):
    """What counts."""

    purposes: frozenset[str] = frozenset({ALL, "profiling"})
    stops: frozenset[str] = frozenset({"withdrawn", "expired"})
    lifts: frozenset[str] = frozenset({"granted", "confirmed"})

    def counts(self, name: str, purpose: str | None) -> bool:
        """Does a word of this name about this purpose say whether one may be scored?"""
        return (purpose or ALL) in self.purposes and (name in self.stops or name in self.lifts)


def load_terms(path: Path = FILE) -> Terms:
    """Read the document; WrongUse names the key and the nearest valid name, on one line."""
    return load(Terms, path)
