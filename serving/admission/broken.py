"""What every stage raises, and how a stage says what it holds against a file."""

from __future__ import annotations

from typing import Any, NoReturn

from cluster.errors import FunnelcastError

SHOWN = 80  # letters of a hostile value that a message repeats


class BundleBroken(FunnelcastError):
    """The bytes are not the bundle that was published, or do not score as it did."""


def refuse(rule: str, found: object, remedy: str = "train and publish the model again") -> NoReturn:
    """Raise BundleBroken as one line: the rule, what was found, what to do."""
    raise BundleBroken(f"{rule}, got {shown(found)}: {remedy}")


def shown(found: object) -> str:
    """Return a value as it may stand in a message: one line of printable letters, and short."""
    text = found if isinstance(found, str) else repr(found)
    plain = "".join(c if c.isprintable() else "?" for c in text[: SHOWN + 1])
    return plain if len(plain) <= SHOWN else f"{plain[:SHOWN]}..."


def same(found: Any, wanted: Any) -> bool:
    """Are two documents equal in type and value? Arrays of numbers are equal to nothing."""
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return bool(found == wanted)


def must_be_within(size: int, limit: int, what: str) -> None:
    """Refuse a file of more bytes than `limit`, before anything reads it."""
    if size > limit:
        refuse(f"{what} must have {limit:,} bytes at most", f"{size:,}")


def must_not_be_pickle(data: bytes, what: str) -> None:
    """Refuse bytes that do not begin as JSON and UBJSON objects do.

    No opcode of any pickle protocol is a brace, so what passes is no opcode stream in disguise.
    """
    if data[:1] == b"{":
        return
    known = {b"\x80": "a pickle", b"PK": "a ZIP archive", b"\x1f\x8b": "gzip"}
    found = (name for magic, name in known.items() if data.startswith(magic))
    refuse(f"{what} must begin with a brace", next(found, f"{data[:8]!r}"))
