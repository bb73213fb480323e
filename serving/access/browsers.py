"""What a page of another site must not do with a service that asks nobody who they are.

A browser on the same machine sends what any page tells it to, by a name that its owner may let
mean 127.0.0.1 (DNS rebinding; CVE-2025-62593 was one). So a service without credentials answers by
its own name alone, and to no request that a page of another origin made (Fetch, `Origin` header).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cluster.access.principal import Forbidden
from cluster.settings import LOOPBACK

if TYPE_CHECKING:
    from starlette.types import Scope


def foreign(scope: Scope) -> Forbidden | None:
    """Return why a request must not be answered without a credential; None if it may."""
    found = dict(scope["headers"])
    if (host := found.get(b"host")) is not None and not _is_here(b"//" + host):
        return _refused("called by a name of this machine", "another in Host")
    if (origin := found.get(b"origin")) is not None and not _is_here(origin):
        return _refused("called by its own pages", "a request of another site's")
    return None


@lru_cache(maxsize=64)
def _is_here(url: bytes) -> bool:
    try:
        return urlsplit(url.decode("latin-1")).hostname in LOOPBACK
    except ValueError:
        return False


def _refused(rule: str, value: str) -> Forbidden:
    return Forbidden(
        rule=f"a service without credentials must be {rule}",
        value=value,
        remedy="send a key, or call it as localhost",
    )
