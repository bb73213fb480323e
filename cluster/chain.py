"""A hash chain: every link carries the hash of the one before it, so that no change stays hidden.

The hash of a link is the SHA-256 of the canonical JSON of {at, body, id, kind, prev_hash, seq,
writer}, `at` in microseconds since 1970. Sequence numbers of a writer run 1, 2, 3 ... and the
`prev_hash` of the first is 64 zeros. Pure: what is stored where is `cluster.journal`'s concern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cluster import canonical, errors

if TYPE_CHECKING:
    from collections.abc import Iterable


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


GENESIS = Head(seq=0, hash="0" * 64)  # what the first link follows


def link(writer: str, after: Head, *, id: str, kind: str, at: int, body: str) -> Link:
    """Return the link that follows `after` in the chain of `writer`."""
    bare = Link(writer, after.seq + 1, id, kind, at, body, prev_hash=after.hash, hash="")
    return bare._replace(hash=link_hash(bare))


def link_hash(row: Link) -> str:
    """Return the hash that `row` must carry, over the very spelling of its stored body."""
    rest = {name: getattr(row, name) for name in ("id", "kind", "prev_hash", "seq", "writer")}
    body = row.body.encode(errors="surrogateescape")
    start = f'{{"at":{row.at},"body":'.encode()
    return canonical.sha256_hex(start + body + b"," + canonical.dumps(rest)[1:])


def head_of(row: Link) -> Head:
    """Return `row` as the head of its chain."""
    return Head(seq=row.seq, hash=row.hash)


def verify(rows: Iterable[Link]) -> Verified | errors.Refusal:
    """Check links that come in the order of (writer, seq); a Refusal names the first bad place."""
    heads: dict[str, Head] = {}
    entries = 0
    for row in rows:
        last = heads.get(row.writer, GENESIS)
        rule = _broken_rule(row, last)
        if rule:
            return errors.Refusal(
                rule=rule,
                value=f"a break at writer '{row.writer}' seq {last.seq + 1}",
                remedy="trust that chain only before this entry, and compare it with a backup",
            )
        heads[row.writer] = head_of(row)
        entries += 1
    return Verified(entries=entries, heads=heads)


def _broken_rule(row: Link, last: Head) -> str | None:
    if row.seq != last.seq + 1:
        return "the entries of a writer must be numbered without a gap"
    if row.prev_hash != last.hash:
        return "an entry must carry the hash of the one before it"
    if row.hash != _true_hash(row):
        return "an entry must match its own hash"
    return None


def _true_hash(row: Link) -> str | None:
    try:
        return link_hash(row)
    except ValueError:  # a text that is no UTF-8 any more
        return None
