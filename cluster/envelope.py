"""Sealed values: AES-256-GCM under a key per subject, which the master key wraps. Pure.

A sealed value is version (1 byte), key id (8), nonce (12), ciphertext and tag (16). Its associated
data are version, key id, subject, 0x00 and field, so that it opens only where it was sealed.
docs/vault.md gives every byte and an example to recompute.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cluster import errors

VERSION = b"\x01"
KEY_BYTES = 32  # of a master key, a subject's key and the pseudonym key
NONCE_BYTES = 12
DIGEST_BYTES = 16

_PURPOSE = b"funnelcast/vault/1"
_ID_BYTES = 8
_TAG_BYTES = 16
_HEADER_BYTES = len(VERSION) + _ID_BYTES


class NotOpened(errors.FunnelcastError):
    """A sealed value or wrapped key is damaged, or belongs to another key, subject or field."""


@dataclass(frozen=True, kw_only=True)
class SubjectKey:
    """What follows from the 32 random bytes of one subject. Prints nothing secret."""

    cipher: AESGCM = field(repr=False)
    digest_key: bytes = field(repr=False)
    id: bytes  # public; without the subject's key nobody can tell whose it is


def subject_key(data_key: bytes) -> SubjectKey:
    """Return the keys that follow from `data_key` (32 bytes): one for each purpose."""
    parts = hmac.digest(data_key, _PURPOSE, "sha512")
    return SubjectKey(cipher=AESGCM(parts[:32]), digest_key=parts[32:56], id=parts[56:])


def wrap(master: bytes, key: bytes) -> bytes:
    """Return `key` (32 bytes) wrapped by `master` after RFC 3394: 40 bytes."""
    return keywrap.aes_key_wrap(master, key)


def unwrap(master: bytes, wrapped: bytes) -> bytes:
    """Return the key in `wrapped`; NotOpened if another master key wrapped it."""
    try:
        return keywrap.aes_key_unwrap(master, wrapped)
    except keywrap.InvalidUnwrap as error:
        raise NotOpened(
            "a wrapped key must open with the master key, got one that does not: "
            "use the master key that it was wrapped with"
        ) from error


def seal(key: SubjectKey, data: bytes, *, subject: str, name: str, nonce: bytes) -> bytes:
    """Return `data` sealed for the field `name` of `subject`; a nonce (12 bytes) serves once."""
    header = VERSION + key.id
    return header + nonce + key.cipher.encrypt(nonce, data, _bound(header, subject, name))


def unseal(key: SubjectKey, sealed: bytes, *, subject: str, name: str) -> bytes:
    """Return what `seal` was given; NotOpened for any other key, subject, field or bytes."""
    header, nonce = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:][:NONCE_BYTES]
    if sealed[:1] != VERSION or len(sealed) < _HEADER_BYTES + NONCE_BYTES + _TAG_BYTES:
        raise NotOpened(
            f"a sealed value must be version {VERSION[0]} and whole, got {len(sealed)} bytes of "
            "something else: pass what seal returned"
        )
    try:
        body = sealed[_HEADER_BYTES + NONCE_BYTES :]
        return key.cipher.decrypt(nonce, body, _bound(header, subject, name))
    except InvalidTag as error:
        raise NotOpened(
            "a sealed value opens only for the subject and field it was sealed for, got another "
            "or damaged bytes: pass the subject and the field it was sealed for"
        ) from error


def digest(key: SubjectKey, name: str, value: bytes) -> bytes:
    """Return 16 bytes that tell a value of this subject's field from another, to its key alone."""
    return hmac.digest(key.digest_key, name.encode() + b"\0" + value, "sha256")[:DIGEST_BYTES]


def _bound(header: bytes, subject: str, name: str) -> bytes:
    return header + subject.encode() + b"\0" + name.encode()
