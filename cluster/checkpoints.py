"""Checkpoints: signed documents that seal the heads of the journal's chains. Pure.

A checkpoint is canonical JSON: format, number, at, entries, heads, previous, key and signature. It
holds the heads that its sealer has not sealed before, and the hashes of the checkpoints that were
the newest when it was made, so that none can be taken away from among them. Several sealers may
write at once: two checkpoints may then follow one, and the next follows both. Its hash is the
SHA-256 of its bytes, its name is its number and its hash.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster import canonical, chain, errors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cluster.signing import PublicKey, SigningKey

FORMAT = "funnelcast/checkpoint/1"
FOLDER = 100  # checkpoints in one folder

_NAME = re.compile(r"\d{8}/(\d{10})-([0-9a-f]{64})\.json")
_FIELDS = {"format", "number", "at", "entries", "heads", "previous", "key", "signature"}
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What one sealer saw at one time."""

    number: int  # one more than the highest of `previous`; the first is 1
    at: int  # microseconds since 1970 UTC
    entries: int  # in all chains together
    heads: Mapping[str, chain.Head]  # by writer; those not sealed before by this sealer
    previous: tuple[str, ...]  # hashes, in order; none for the first
    key: str  # id of the signing key


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A checkpoint with its bytes and where it is kept."""

    checkpoint: Checkpoint
    data: bytes
    hash: str

    @property
    def name(self) -> str:
        """Its path below the folder of checkpoints."""
        return name_of(self.checkpoint.number, self.hash)


def sealed(checkpoint: Checkpoint, key: SigningKey) -> Sealed:
    """Return the checkpoint signed by `key`, whose id it must carry."""
    document = _document(checkpoint)
    signature = key.sign(canonical.dumps(document))
    data = canonical.dumps({**document, "signature": signature})
    return Sealed(checkpoint=checkpoint, data=data, hash=canonical.sha256_hex(data))


def name_of(number: int, hash: str) -> str:
    """Return the name of a checkpoint."""
    return f"{number // FOLDER:08d}/{number:010d}-{hash}.json"


def named(name: str) -> tuple[int, str] | None:
    """Return the number and the hash that a name says; None if it names no checkpoint."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def opened(name: str, data: bytes, keys: Mapping[str, PublicKey]) -> Sealed | errors.Refusal:
    """Return the checkpoint in `data`, or why it is not one that a trusted key signed."""
    if named(name) is None or not name.endswith(f"{canonical.sha256_hex(data)}.json"):
        return _refusal(name, "a checkpoint must hash to its name", "other bytes")
    document = _read(data)
    if document is None:
        return _refusal(name, "a checkpoint must be canonical JSON of its fields", "another text")
    key = keys.get(document["key"])
    if key is None:
        return _refusal(name, "a checkpoint must be signed by a trusted key", document["key"])
    signature = document.pop("signature")
    if not key.holds(signature, canonical.dumps(document)):
        return _refusal(name, "a checkpoint must carry its signature", "another one")
    found = Sealed(checkpoint=_checkpoint(document), data=data, hash=canonical.sha256_hex(data))
    if found.name != name:
        return _refusal(name, "a checkpoint must be named by its number", "another number")
    return found


@dataclass(kw_only=True)
class Series:
    """The checkpoints in the order of their names, each checked against those before it.

    Remembers 100 bytes of each checkpoint, and the newest sealed place of each writer.
    """

    numbers: dict[bytes, int] = field(default_factory=dict)  # by hash
    highest: dict[str, int] = field(default_factory=dict)  # sealed seq by writer
    newest: Sealed | None = None

    def follow(self, sealed: Sealed) -> errors.Refusal | None:
        """Take up the next checkpoint; a Refusal if one that it follows is gone."""
        said = sealed.checkpoint
        before = [self.numbers.get(bytes.fromhex(hash)) for hash in said.previous]
        if None in before:
            gone = said.previous[before.index(None)]
            return _refusal(
                sealed.name, "the checkpoints that one follows must be there", f"none of {gone}"
            )
        if said.number != 1 + max((number for number in before if number), default=0):
            return _refusal(
                sealed.name, "a checkpoint must be one behind those it follows", "another number"
            )
        self.numbers[bytes.fromhex(sealed.hash)] = said.number
        for writer, head in said.heads.items():
            self.highest[writer] = max(head.seq, self.highest.get(writer, 0))
        self.newest = sealed
        return None


def leaves(known: Mapping[str, Collection[str]]) -> set[str]:
    """Return the hashes that no other follows, of {hash: hashes that it follows}."""
    followed = {hash for previous in known.values() for hash in previous}
    return set(known) - followed


def _document(checkpoint: Checkpoint) -> dict[str, Any]:
    heads = {writer: {"seq": h.seq, "hash": h.hash} for writer, h in checkpoint.heads.items()}
    return {
        "format": FORMAT,
        "number": checkpoint.number,
        "at": checkpoint.at,
        "entries": checkpoint.entries,
        "heads": heads,
        "previous": list(checkpoint.previous),
        "key": checkpoint.key,
    }


def _read(data: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(data)
        is_ours = isinstance(document, dict) and set(document) == _FIELDS
        if not is_ours or document["format"] != FORMAT or canonical.dumps(document) != data:
            return None
        _checkpoint(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return document if isinstance(document["signature"], str) else None


def _checkpoint(document: dict[str, Any]) -> Checkpoint:
    """Return the checkpoint of a document; TypeError or ValueError for values of other types."""
    numbers = (document["number"], document["at"], document["entries"])
    heads = {w: chain.Head(seq=h["seq"], hash=h["hash"]) for w, h in document["heads"].items()}
    if not all(type(n) is int for n in (*numbers, *(h.seq for h in heads.values()))):
        raise TypeError("a number must be whole")
    if not all(_HASH.fullmatch(hash) for hash in document["previous"]):
        raise ValueError("a hash must be 64 hex digits")
    return Checkpoint(
        number=document["number"],
        at=document["at"],
        entries=document["entries"],
        heads=heads,
        previous=tuple(document["previous"]),
        key=str(document["key"]),
    )


def _refusal(name: str, rule: str, value: str) -> errors.Refusal:
    return errors.Refusal(
        rule=rule,
        value=f"{value} at checkpoint '{name}'",
        remedy="restore the checkpoints from another copy, and find out who could write there",
    )
