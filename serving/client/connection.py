"""What both clients share: how httpx is set up, what a call sends, and what may be asked again."""

from __future__ import annotations

import random
import ssl
from typing import TYPE_CHECKING, Any

import httpx

from serving.client import errors
from serving.client.flow import Terms
from serving.client.retries import Budget, Pace, Retries

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.client.flow import Send

AGENT = "funnelcast-client/1"
# A connection is dropped before uvicorn drops it, after 5 s without a request: what is sent on one
# that is being closed fails, and costs a retry.
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=4.0)
# What is wrong with the request, its address or the settings stays wrong.
PASSING = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)


def options(base_url: str, api_key: str | None) -> dict[str, Any]:
    """Return the options of an httpx client; ClientError for an address that is none."""
    url = httpx.URL(base_url)
    if url.scheme not in {"http", "https"} or not url.host:
        raise errors.ClientError(
            f"an address must be http://host or https://host, got '{base_url}'"
        )
    # httpx reads all certificates, 0.03 s, also for an address without TLS: then trust nobody
    tls = True if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    headers = {"user-agent": AGENT, "accept": "application/json"}
    if api_key is not None:
        headers["authorization"] = f"Bearer {api_key}"
    return {"base_url": url, "headers": headers, "limits": LIMITS, "verify": tls}


def terms(
    timeout_s: float,
    retries: Retries,
    rng: random.Random | None,
    clock: Callable[[], float],
) -> Terms:
    """Return the terms of a client, with a budget of its own."""
    if timeout_s <= 0:
        raise errors.ClientError(f"timeout_s must be more than 0, got {timeout_s}")
    # not for secrets: it spreads retries
    pace = Pace(retries=retries, budget=Budget(retries), rng=rng or random.Random())
    return Terms(timeout_s=timeout_s, pace=pace, clock=clock)


def request(send: Send) -> dict[str, Any]:
    """Return the arguments of a request for httpx.

    Nothing is said of a caller who goes before the answer: that is the service's to settle. In the
    profile fast HAProxy has the work done and recorded all the same, in the profile portable Ray
    Serve may cancel it. Either way, what was recorded is found by its key.
    """
    asking = send.asking
    return {
        "method": asking.method,
        "url": asking.path,
        "params": dict(asking.params) or None,
        "headers": dict(asking.headers),
        "content": asking.content,
        "timeout": send.timeout_s,
    }
