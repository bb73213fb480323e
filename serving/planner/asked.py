"""What a browser asks of the planner's page: who asks, and the form that was sent.

A form is taken only from one of our own pages (Origin, Sec-Fetch-Site), and with the token that the
page had.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from cluster.access.principal import Forbidden
from serving.access import sessions
from serving.access.guard import PRINCIPAL

if TYPE_CHECKING:
    from cluster.access.principal import Principal
    from serving.access.sessions import Sessions

    type Scope = Any

TOKEN = "token"  # the field of a form
MOST_FIELDS = 5_000
_NO_TOKEN = Forbidden(
    rule="a form must carry the token of its page",
    value="one of another session, or none",
    remedy="open the page again, and send it from there",
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request."""

    scope: Scope
    sessions: Sessions
    body: bytes = field(default=b"", repr=False)

    @property
    def who(self) -> Principal:
        """Who sends it; the guard knows."""
        found: Principal = self.scope["state"][PRINCIPAL]
        return found

    @property
    def token(self) -> str:
        """What the forms of the answer carry."""
        return self.sessions.token(self._bearer)

    @property
    def _bearer(self) -> str:
        principal = self.scope.get("state", {}).get(PRINCIPAL)
        known = "nobody" if principal is None else f"{principal.credential} {principal.subject}"
        return sessions.sent(self.scope) or known

    @property
    def in_session(self) -> bool:
        """Does a cookie say who it is?"""
        return sessions.sent(self.scope) is not None and self.who.credential != "local"

    @property
    def is_part(self) -> bool:
        """Does the script ask, for a part of a page?"""
        return any(name == b"hx-request" for name, _ in self.scope["headers"])

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """The fields of the form, each with its values."""
        found: dict[str, tuple[str, ...]] = {}
        for name, value in _pairs(self.body):
            found[name] = (*found.get(name, ()), value)
        return found

    @property
    def query(self) -> dict[str, str]:
        """What stands behind the question mark."""
        return dict(_pairs(self.scope.get("query_string", b"")))

    def refused(self) -> Forbidden | None:
        """Return why its form must not be taken."""
        found = sessions.foreign(self.scope)
        if found is not None:
            return found
        token = next(iter(self.texts.get(TOKEN, ())), "")
        return None if self.sessions.is_token(token, self._bearer) else _NO_TOKEN


def _pairs(text: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return []
