"""API keys as texts: made, read, and hashed. Pure but for the random bytes, which are given.

    fck_<id>_<secret><checksum>      70 characters
    fck_   16    43       6

The id (80 bits, base32) names the key in the database; the secret is 32 random bytes in base64url.
The checksum is the CRC-32 of all before it in base64url: a mistyped key is refused, and a scanner
for leaked keys tells one from other text, without the database. It protects nothing else.

What is stored is HMAC-SHA256(pepper, "funnelcast/api-key/1" NUL id NUL secret). One fast hash is
right for a secret that is random and this long: NIST SP 800-63B, 5.1.2.2, asks for a slow and
salted one only below 112 bits. The pepper is not in the database: who can only write there cannot
make a key.
"""

from __future__ import annotations

import base64
import hmac
import re
import zlib
from dataclasses import dataclass, field

from cluster.access.principal import Unauthenticated

PREFIX = "fck_"
ID_BYTES, SECRET_BYTES = 10, 32
RANDOM_BYTES = ID_BYTES + SECRET_BYTES
LENGTH = 70

_FORM = re.compile(r"(fck_([a-z2-7]{16})_([A-Za-z0-9_-]{43}))([A-Za-z0-9_-]{6})")
_CONTEXT = b"funnelcast/api-key/1\0"
_MALFORMED = Unauthenticated(
    rule="an API key must be whole and spelt as it was shown",
    value="another text",  # never the text itself: it may be nearly a key
    remedy="copy it again, from fck_ to its last letter",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """A key in clear: shown once, never stored. Prints its id alone."""

    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The key as its owner sends it."""
        said = f"{PREFIX}{self.id}_{self.secret}"
        return said + _checksum(said)


def make(random: bytes) -> ApiKey:
    """Return the key of RANDOM_BYTES random bytes (`os.urandom`); ValueError for another number."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} random bytes, got {len(random)}")
    id = base64.b32encode(random[:ID_BYTES]).decode().lower()
    return ApiKey(id=id, secret=_base64(random[ID_BYTES:]))


def parse(text: str) -> ApiKey | Unauthenticated:
    """Return the key that a text spells; a refusal, without the text, if it spells none."""
    found = _FORM.fullmatch(text) if len(text) == LENGTH else None
    if found is None:
        return _MALFORMED
    said, id, secret, checksum = found.groups()
    if checksum != _checksum(said):
        return _MALFORMED
    return ApiKey(id=id, secret=secret)


def hashed(key: ApiKey, pepper: bytes) -> bytes:
    """Return what is stored of a key: 32 bytes."""
    return hmac.digest(pepper, _CONTEXT + f"{key.id}\0{key.secret}".encode(), "sha256")


def matches(key: ApiKey, pepper: bytes, stored: bytes) -> bool:
    """Is this the key whose hash is stored? Takes as long for a wrong one."""
    return hmac.compare_digest(hashed(key, pepper), stored)


def _checksum(said: str) -> str:
    return _base64(zlib.crc32(said.encode()).to_bytes(4))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
