"""One root for every error, and the refusal: a "no" that is a value with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class FunnelcastError(Exception):
    """Something is broken; the text says the rule, the value and what to do, on one line."""


class WrongUse(FunnelcastError):
    """The request itself is wrong: a bad option, setting or file (exit code 2)."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A "no" with its reason. Falsy, so that `if not outcome` reads as a sentence."""

    rule: str  # what must hold
    value: str  # what was found instead
    remedy: str  # what to do about it

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"{self.rule}, got {self.value}: {self.remedy}"


def done[T](found: T | Refusal, error: type[FunnelcastError] = FunnelcastError) -> T:
    """Return what was found; raise an error that says why for a Refusal."""
    if isinstance(found, Refusal):
        raise error(str(found))
    return found


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return the valid name most like `name`, as words to put into a message.

    >>> nearest("bukets", ["buckets", "home"])
    "did you mean 'buckets'?"
    """
    known = sorted(valid)
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"valid are: {', '.join(known)}"
