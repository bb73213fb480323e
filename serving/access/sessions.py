"""Sessions: what a browser keeps in place of an API key, for the planner's page alone. Pure.

    1.<id of the key>.<end, in seconds since 1970>.<nonce>.<HMAC-SHA256 of all before, in base64url>

The cookie names the key and does not hold it; what the key may is looked up at every request, so a
session ends with its key. It counts nowhere but below PATH. A form carries a token that is made of
the session: another site can make a browser send the cookie, but cannot read the token.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cluster.access.principal import Forbidden

if TYPE_CHECKING:
    from starlette.types import Scope

PATH = "/planner"
COOKIE = "funnelcast_planner"
LASTS = timedelta(hours=12)
NONCE_BYTES = 16
_FORM = re.compile(r"(1\.([a-z2-7]{16})\.(\d{1,12})\.[A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")
_FOREIGN = Forbidden(
    rule="a form must be sent by the page that it is on",
    value="a request of another site, or one that does not say whose it is",
    remedy="open the page, and send it from there",
)


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Those of one workspace, under its secret of 32 bytes."""

    secret: bytes = field(repr=False)

    def opened(self, key_id: str, now: datetime, nonce: bytes) -> str:
        """Return what a browser keeps for a key; `nonce` is NONCE_BYTES random bytes."""
        end = int((now + LASTS).timestamp())
        said = f"1.{key_id}.{end}.{_base64(nonce)}"
        return f"{said}.{self._signed('session', said)}"

    def key_id(self, text: str, now: datetime) -> str | None:
        """Return which key a session is of; None of one that is over or was not made here."""
        end = self.end(text)
        return None if end is None or now >= end else text.split(".")[1]

    def end(self, text: str) -> datetime | None:
        """Return until when a session lasts; None of one that was not made here."""
        found = _FORM.fullmatch(text)
        if found is None:
            return None
        said, _, end, signed = found.groups()
        if not hmac.compare_digest(signed, self._signed("session", said)):
            return None
        return datetime.fromtimestamp(int(end), UTC)

    def token(self, who: str) -> str:
        """Return what every form must carry; `who` is the session, or else the credential."""
        return self._signed("form", who)

    def is_token(self, text: str, who: str) -> bool:
        """Does a form carry what it must?"""
        return hmac.compare_digest(text.encode(), self.token(who).encode())

    def _signed(self, purpose: str, said: str) -> str:
        return _base64(hmac.digest(self.secret, f"{purpose}\0{said}".encode(), "sha256"))


def sent(scope: Scope) -> str | None:
    """Return the session that a request brings; None where it brings none, or none counts."""
    if scope["path"] != PATH and not scope["path"].startswith(f"{PATH}/"):
        return None
    text = "; ".join(v.decode("latin-1") for name, v in scope["headers"] if name == b"cookie")
    # read by hand: http.cookies drops all of them where one of another application is odd
    pairs = (each.strip().partition("=") for each in text.split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), None)


def foreign(scope: Scope) -> Forbidden | None:
    """Return why a form must not be taken, by where it was sent from (Fetch: Origin, and Fetch
    Metadata: Sec-Fetch-Site); None for one of our own pages.
    """
    found = dict(scope["headers"])
    if (site := found.get(b"sec-fetch-site")) is not None:  # no page can set it
        return None if site == b"same-origin" else _FOREIGN
    host = found.get(b"host", b"").decode("latin-1").lower()
    return None if host and _place(found.get(b"origin", b"")) == host else _FOREIGN


def is_secure(scope: Scope) -> bool:
    """Does the browser speak https? Where a proxy ends it, the page's own origin says so."""
    origin = dict(scope["headers"]).get(b"origin", b"")
    return bool(scope.get("scheme") == "https" or origin.startswith(b"https://"))


def cookie(value: str, *, is_secure: bool, lasts: timedelta = LASTS) -> str:
    """Return the Set-Cookie header of a session; one that lasts no time is forgotten."""
    secure = "; Secure" if is_secure else ""
    age = int(lasts.total_seconds())
    return f"{COOKIE}={value}; Path={PATH}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"


def _place(origin: bytes) -> str:
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower()
    except ValueError:
        return ""


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
