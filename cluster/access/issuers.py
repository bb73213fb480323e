"""Issuers of tokens: whom we trust, how they sign, and what their claims mean to us.

Pure: settings, and verified claims that become a principal.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from cluster.access.principal import Principal, Unauthenticated
from cluster.access.roles import Role
from cluster.errors import nearest
from cluster.settings import Frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.access.roles import Roles

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
LONGEST_SUBJECT = 255  # OpenID Connect Core 1.0, section 2
LONGEST_VALUE = 200  # of a region or team
_ABSENT = object()


class RowClaim(Frozen):
    """The claim that says which regions (or teams) a bearer sees; without one, no row of any."""

    claim: str | None = Field(default=None, min_length=1)
    absent: Literal["none", "all"] = "none"  # what a token without the claim sees
    all_value: str | None = Field(default=None, min_length=1)  # a value that stands for all


class IssuerSettings(Frozen):
    """An issuer. A claim is a name, or a path such as `realm_access.roles`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")  # in subjects and messages
    issuer: str  # as the claim iss says it, letter by letter
    audience: str = Field(min_length=1)  # that the claim aud must hold
    jwks_url: str | None = None  # by default what the issuer's discovery document says
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256",), min_length=1)
    role_claim: str = Field(default="roles", min_length=1)
    roles: dict[str, Role] = Field(min_length=1)  # a value of the claim -> a role of ours
    regions: RowClaim = RowClaim()
    teams: RowClaim = RowClaim()
    leeway_s: int = Field(default=30, ge=0, le=60)  # between the issuer's clock and ours
    cache_s: float = Field(default=300.0, ge=1.0, le=86_400.0)  # keys are fetched again before
    stale_s: float = Field(default=3600.0, ge=0.0, le=86_400.0)  # and work on if that fails
    refetch_s: float = Field(default=5.0, ge=0.1, le=300.0)  # between two fetches, at least
    timeout_s: float = Field(default=3.0, gt=0.0, le=30.0)  # of a fetch in all
    wait_s: float = Field(default=1.0, ge=0.0, le=5.0)  # that a caller may wait for a fetch

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _safe(cls, url: str | None) -> str | None:
        if url is not None and not safe_url(url):
            raise ValueError(
                "must be https://host/path, or http:// on loopback, without user, query or fragment"
            )
        return url

    @field_validator("roles", mode="before")
    @classmethod
    def _known(cls, roles: object) -> object:
        names = roles.values() if isinstance(roles, dict) else ()
        for name in (str(name) for name in names if str(name) not in set(Role)):
            raise ValueError(f"must map to roles: {nearest(name, Role)}")
        return roles

    @property
    def discovery_url(self) -> str:
        """Where its discovery document lies (OpenID Connect Discovery 1.0, section 4)."""
        return f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"


def safe_url(url: str) -> bool:
    """Is it https, or http on loopback, with nothing in it that hides or carries a secret?"""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and not set(url) & set(' \\?#@"<>')
    return bool(plain and host) and (
        parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host or ""))
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def principal(
    settings: IssuerSettings, claims: Mapping[str, Any], roles: Roles
) -> Principal | Unauthenticated:
    """Return of whom verified `claims` speak, and what `roles` grant to that principal.

    A value that the settings do not map gives no role; a claim of another type is refused.
    """
    subject = claims.get("sub")
    values = _texts(_at(claims, settings.role_claim))
    regions, teams = _rows(settings.regions, claims), _rows(settings.teams, claims)
    if not isinstance(subject, str) or not _is_text(subject, LONGEST_SUBJECT):
        return _refused("sub", f"be 1 to {LONGEST_SUBJECT} printable letters")
    if values is None:
        return _refused("roles", "be a text or a list of texts")
    if isinstance(regions, Unauthenticated) or isinstance(teams, Unauthenticated):
        return _refused("regions and teams", "be texts or lists of texts")
    own = frozenset(settings.roles[value] for value in values if value in settings.roles)
    return Principal(
        subject=f"{settings.name}:{subject}",  # two issuers never mean the same one
        roles=own,
        permissions=roles.permissions(own),
        regions=regions,
        teams=teams,
        clearance=roles.clearance(own),
        credential=f"token:{settings.name}",
    )


def _rows(row: RowClaim, claims: Mapping[str, Any]) -> frozenset[str] | Unauthenticated | None:
    found = _ABSENT if row.claim is None else _at(claims, row.claim)
    if found is _ABSENT:
        return None if row.absent == "all" else frozenset()
    values = _texts(found)
    if values is None:
        return _refused(row.claim or "", "be a text or a list of texts")
    return None if row.all_value in values else values


def _at(claims: Mapping[str, Any], path: str) -> Any:
    # a name may itself hold dots, as https://example.com/roles does: the whole goes first
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return _ABSENT
        found = found[name]
    return found


def _texts(found: Any) -> frozenset[str] | None:
    if found is _ABSENT:
        return frozenset()
    values = found if isinstance(found, list) else [found]
    return frozenset(values) if all(_is_text(value, LONGEST_VALUE) for value in values) else None


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def _refused(claim: str, must: str) -> Unauthenticated:
    return Unauthenticated(
        rule=f"the claim of {claim} in a token must {must}",
        value="another value",
        remedy="let the issuer set it so",
    )
