"""What is found in a column, and how grave it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

type Verdict = Literal["leak", "suspect"]
type Kind = Literal["known later", "filled by outcome", "too good", "names the outcome"]

# each has an honest reading, together they have none: what was planned is there for either outcome
BEYOND_DOUBT: frozenset[Kind] = frozenset({"known later", "filled by outcome"})


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One reason to doubt a column, in words with numbers."""

    kind: Kind
    verdict: Verdict
    words: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A column that is a leak or a suspect, and why: one sentence."""

    column: str
    verdict: Verdict
    kinds: tuple[Kind, ...]
    evidence: str

    @property
    def said(self) -> str:
        """The finding in one line."""
        return f"{self.verdict} {self.column}: {self.evidence}"


def weighed(column: str, found: list[Evidence]) -> Finding | None:
    """Return what the evidence on a column comes to; None for none."""
    if not found:
        return None
    kinds = tuple(each.kind for each in found)
    is_leak = any(each.verdict == "leak" for each in found)
    is_leak = is_leak or set(kinds) >= BEYOND_DOUBT
    words = "; ".join(each.words for each in found)
    return Finding(
        column=column, verdict="leak" if is_leak else "suspect", kinds=kinds, evidence=words
    )
