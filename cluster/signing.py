"""The signing key: Ed25519 (RFC 8032), from the settings or from a file, as the master key is.

`signing_key` wins over `signing_key_file`; without both it is the file `signing.key` in the home
folder, made when it is first needed. No message of this module holds a private key. A public key
is kept as PEM, which other programs read too; its id is the beginning of a SHA-256 over it.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cluster import canonical, errors, keyfiles

if TYPE_CHECKING:
    from cluster.settings import Settings

FILE = "signing.key"
ID_DIGITS = 16  # of a key's id

_RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw
_PEM = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
_KEY = keyfiles.Kind(name="signing key", setting="signing_key")


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """What a signature is checked with."""

    key: Ed25519PublicKey

    @property
    def id(self) -> str:
        """The id of the key: 16 hex digits."""
        return canonical.sha256_hex(self.key.public_bytes(*_RAW))[:ID_DIGITS]

    def pem(self) -> bytes:
        """Return the key as PEM."""
        return self.key.public_bytes(*_PEM)

    def holds(self, signature: str, data: bytes) -> bool:
        """Is this the signature of `data`, in base64, by this key?"""
        try:
            self.key.verify(base64.b64decode(signature, validate=True), data)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """What signs. Prints nothing secret."""

    key: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The key that checks the signatures of this one."""
        return PublicKey(key=self.key.public_key())

    def sign(self, data: bytes) -> str:
        """Return the signature of `data` in base64; the same data has the same signature."""
        return base64.b64encode(self.key.sign(data)).decode()


def load(settings: Settings) -> SigningKey:
    """Return the signing key of `settings`; the file in the home folder is made if none is named.

    WrongUse for a key that is malformed or missing, or a file that others may read.
    """
    raw = keyfiles.load(
        _KEY, settings.signing_key, settings.signing_key_file, settings.home / FILE, may_make=True
    )
    return SigningKey(key=Ed25519PrivateKey.from_private_bytes(raw))


def public_keys(data: bytes, *, where: str) -> dict[str, PublicKey]:
    """Return the public keys of a PEM text by id; WrongUse if it holds none, or another kind."""
    found = []
    for block in _BLOCK.findall(data):
        try:
            key = serialization.load_pem_public_key(block + b"\n")
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise _no_key(where)
        found.append(PublicKey(key=key))
    if not found:
        raise _no_key(where)
    return {key.id: key for key in found}


def read_public_keys(path: Path) -> dict[str, PublicKey]:
    """Return the public keys of a file by id."""
    try:
        return public_keys(path.read_bytes(), where=f"'{path}'")
    except OSError as error:
        raise errors.WrongUse(
            f"a file of public keys must be readable, got '{error.strerror}' at '{path}': "
            "give the file that was kept apart"
        ) from error


def _no_key(where: str) -> errors.WrongUse:
    return errors.WrongUse(
        f"a public key must be Ed25519 in PEM, got something else in {where}: "
        "give the file that lies beside the checkpoints, or a copy of it"
    )
