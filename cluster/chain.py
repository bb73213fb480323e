"""A hash chain: every link carries the hash of the one before it, so that no change stays hidden.

The hash of a link is the SHA-256 of the canonical JSON of {at, body, id, kind, prev_hash, seq,
writer}, `at` in microseconds since 1970. Sequence numbers of a writer run 1, 2, 3 ... and the
`prev_hash` of the first is 64 zeros. Pure: how links are stored is `cluster.links`' concern.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, NamedTuple

from cluster import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

_PIECE = 2047  # bytes hashed at once: from 2,048 on Python's lock is let go, and must be won back


class Link(NamedTuple):
    """One entry as it is stored. Texts that are no UTF-8 hold their bytes as surrogates."""

    writer: str
    seq: int
    id: str
    kind: str
    at: int
    body: str  # JSON as it was spelt
    prev_hash: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class Head:
    """The newest link of a chain: what a checkpoint has to remember."""

    seq: int
    hash: str


@dataclass(frozen=True, kw_only=True)
class Verified:
    """Every chain holds. A tail cut off shows only against heads noted elsewhere before."""

    entries: int
    heads: dict[str, Head]  # by writer


@dataclass(frozen=True, kw_only=True)
class Break(errors.Refusal):
    """The first place at which a chain does not hold."""

    writer: str
    seq: int  # the one that had to come
    id: str | None  # of the entry found there instead; None where entries are missing


GENESIS = Head(seq=0, hash="0" * 64)  # what the first link follows


def link(writer: str, after: Head, *, id: str, kind: str, at: int, body: str) -> Link:
    """Return the link that follows `after` in the chain of `writer`."""
    bare = Link(writer, after.seq + 1, id, kind, at, body, after.hash, "")
    return Link(*bare[:7], link_hash(bare))


def link_hash(row: Link) -> str:
    """Return the hash that `row` must carry, over the very spelling of its stored body."""
    writer, seq, id, kind, at, body, prev_hash, _ = row
    spelt = (
        f'{{"at":{at:d},"body":{body},"id":{encode_basestring(id)},"kind":{encode_basestring(kind)}'
        f',"prev_hash":{encode_basestring(prev_hash)},"seq":{seq:d}'
        f',"writer":{encode_basestring(writer)}}}'
    ).encode()
    hashed = hashlib.sha256(spelt[:_PIECE])
    for start in range(_PIECE, len(spelt), _PIECE):
        hashed.update(spelt[start : start + _PIECE])
    return hashed.hexdigest()


def head_of(row: Link) -> Head:
    """Return `row` as the head of its chain."""
    return Head(seq=row.seq, hash=row.hash)


@dataclass(kw_only=True)
class Walk:
    """A walk along links in the order of (writer, seq), which stops at the first break.

    `heads` holds where each chain was left; a walk may begin in the middle of one, at a head that
    another walk ends with.
    """

    heads: dict[str, Head] = field(default_factory=dict)
    entries: int = 0
    broken: Break | None = None

    def along(self, rows: Iterable[Link]) -> bool:
        """Check more links; False where it breaks."""
        for row in rows:
            last = self.heads.get(row.writer, GENESIS)
            rule = _broken_rule(row, last)
            if rule:
                self.broken = _break(rule, row, last)
                return False
            self.heads[row.writer] = Head(seq=row.seq, hash=row.hash)
            self.entries += 1
        return True

    def outcome(self) -> Verified | Break:
        """Return what the walk found."""
        if self.broken is not None:
            return self.broken
        return Verified(entries=self.entries, heads=self.heads)


def verify(rows: Iterable[Link]) -> Verified | Break:
    """Check links that come in the order of (writer, seq)."""
    walk = Walk()
    walk.along(rows)
    return walk.outcome()


def _broken_rule(row: Link, last: Head) -> str | None:
    if type(row.seq) is not int or row.seq != last.seq + 1:
        return "the entries of a writer must be numbered without a gap"
    if row.prev_hash != last.hash:
        return "an entry must carry the hash of the one before it"
    if row.hash != _true_hash(row):
        return "an entry must match its own hash"
    return None


def _break(rule: str, row: Link, last: Head) -> Break:
    seq = last.seq + 1
    id = row.id if row.seq == seq and isinstance(row.id, str) else None
    named = "" if id is None else f", id '{id}'"
    return Break(
        rule=rule,
        value=f"a break at writer '{row.writer}' seq {seq}{named}",
        remedy="trust that chain only before this entry, and compare it with a backup",
        writer=row.writer,
        seq=seq,
        id=id,
    )


def _true_hash(row: Link) -> str | None:
    """Return the hash of a link of any content; None for types that no link has."""
    if type(row.at) is not int or not all(type(row[n]) is str for n in (0, 2, 3, 5, 6)):
        return None
    try:
        return link_hash(row)
    except ValueError:  # a text that is no UTF-8 any more
        return None
