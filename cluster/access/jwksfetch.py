"""Fetching the keys of an issuer: one time limit in all, one size limit, no redirects."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx

from cluster.access import jwks
from cluster.access.issuers import safe_url
from cluster.errors import Refusal

if TYPE_CHECKING:
    from cluster.access.issuers import IssuerSettings
    from cluster.access.jwks import Keys

MOST_BYTES = 262_144  # of a document
# What is compressed may be small on the wire and huge in memory.
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}


def fetch(settings: IssuerSettings) -> Keys | Refusal:
    """Return the keys an issuer publishes now; never raises.

    Takes at most its `timeout_s`, and what the system's resolver takes beyond that to give up.
    """
    try:
        return asyncio.run(_within(settings))
    except TimeoutError:
        return _refused(f"no answer within {settings.timeout_s:g} s")
    except Exception as error:  # of a network anything may come
        return _refused(type(error).__name__)


async def _within(settings: IssuerSettings) -> Keys | Refusal:
    # httpx bounds each wait, not the whole
    async with asyncio.timeout(settings.timeout_s), _client(settings) as http:
        url = settings.jwks_url or await _discovered(http, settings)
        data = url if isinstance(url, Refusal) else await _document(http, url)
    return data if isinstance(data, Refusal) else jwks.parsed(data, settings.algorithms)


def _client(settings: IssuerSettings) -> httpx.AsyncClient:
    # without TLS there is nobody to trust and no proxy to ask: it is this machine
    tls = (settings.jwks_url or settings.issuer).startswith("https:")
    verify = True if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(
        headers=_HEADERS,
        verify=verify,
        trust_env=tls,
        timeout=settings.timeout_s,
        follow_redirects=False,
    )


async def _discovered(http: httpx.AsyncClient, settings: IssuerSettings) -> str | Refusal:
    data = await _document(http, settings.discovery_url)
    if isinstance(data, Refusal):
        return data
    try:
        found = jwks.strict_json(data)
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("issuer") != settings.issuer:
        return _refused("a discovery document of another issuer")
    url = found.get("jwks_uri")
    if not isinstance(url, str) or not _may_follow(url, settings):
        return _refused("a jwks_uri that is not https")
    return url


def _may_follow(url: str, settings: IssuerSettings) -> bool:
    # an issuer on the network must not send us to our own loopback
    return safe_url(url) and (url.startswith("https:") or settings.issuer.startswith("http:"))


async def _document(http: httpx.AsyncClient, url: str) -> bytes | Refusal:
    async with http.stream("GET", url) as answer:
        if answer.status_code != httpx.codes.OK:
            return _refused(f"status {answer.status_code}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            return _refused("a compressed document")
        data = b""
        async for chunk in answer.aiter_raw():
            data += chunk
            if len(data) > MOST_BYTES:
                return _refused(f"more than {MOST_BYTES} bytes")
    return data


def _refused(value: str) -> Refusal:
    return Refusal(
        rule="an issuer must publish its keys", value=value, remedy="check it and jwks_url"
    )
