"""One spelling for every value: canonical JSON and the hashes over it.

Keys sorted, no spaces, UTF-8, shortest float that reads back equal, NaN refused: two equal values
have equal bytes.
"""

from __future__ import annotations

import hashlib
import json


def dumps(value: object) -> bytes:
    """Return the canonical JSON of `value`; ValueError for NaN and infinities."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of `value`."""
    return sha256_hex(dumps(value))
