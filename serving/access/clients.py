"""Where a request comes from, for what is counted by address where nobody is known."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

NETWORK = 64  # bits of an IPv6 address that name one customer: the rest is theirs to change
KEPT = 4096  # addresses that were met last: to read one takes as long as all other limits
LONGEST = 64  # characters of an address
UNKNOWN = ""


def client_address(scope: Scope) -> str:
    """Return the address a request comes from, as one to count by: of IPv6 the network, of IPv4 in
    IPv6 the IPv4. Empty if the server does not say.

    The server has read X-Forwarded-For by now, and only if the peer is our own HAProxy, which
    writes it anew (serving/haproxy/edits.sed): serving/profiles.py sets whom it believes. With a
    proxy of your own in front, set FORWARDED_ALLOW_IPS to its address.
    """
    client = scope.get("client")
    return _counted(client[0]) if client and len(client[0]) <= LONGEST else UNKNOWN


@lru_cache(maxsize=KEPT)
def _counted(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return UNKNOWN
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), NETWORK), strict=False))
