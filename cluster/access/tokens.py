"""Tokens of issuers: a JWT becomes a principal, or a refusal (RFC 7519, RFC 8725).

What a token says of itself decides nothing: its `iss` chooses among the configured issuers, its
`alg` must be one of that issuer's, its `kid` only looks up a key that the issuer publishes, and
`jku`, `x5u`, `x5c` and `jwk` are not read. No refusal repeats a letter of the token.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from joserfc import jws
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError, UnsupportedAlgorithmError
from joserfc.jwt import JWTClaimsRegistry
from joserfc.util import urlsafe_b64decode

from cluster.access import issuers, jwks
from cluster.access.jwkscache import Jwks
from cluster.access.principal import Unauthenticated
from cluster.errors import Refusal, WrongUse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from joserfc.jws import CompactSignature

    from cluster.access.issuers import IssuerSettings
    from cluster.access.jwkscache import Found
    from cluster.access.principal import Principal, Unavailable
    from cluster.access.roles import Roles

    type Answer = Principal | Unauthenticated | Unavailable

LONGEST_TOKEN = 16_384  # letters
MOST_KEPT = 10_000  # verified tokens
EXTENSIONS = {"crit", "b64"}  # RFC 7797 forbids b64 for JWTs; of the others none is known here
# RFC 8725, section 3.11: not the logout tokens, proofs and events that the same keys sign
TYPES = {"jwt", "at+jwt", "application/jwt", "application/at+jwt"}


class Pinned(jws.JWSRegistry):
    """The algorithms of one issuer and no others, with room for larger headers and RSA keys."""

    max_header_length = 4096
    max_signature_length = 2048

    def __init__(self, algorithms: Sequence[str]) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)
        self.names = frozenset(algorithms)

    def get_alg(self, name: str) -> Any:
        """Return an algorithm if it is one of ours; UnsupportedAlgorithmError if not."""
        if name not in self.names:
            raise UnsupportedAlgorithmError("not an algorithm of this issuer")
        return self.algorithms[name]


class Issuer:
    """One issuer with its keys and rules."""

    def __init__(self, settings: IssuerSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.keys = Jwks(settings, clock=clock)
        self.pinned = Pinned(settings.algorithms)

    def rules(self, now: float) -> JWTClaimsRegistry:
        """Return what claims must hold at `now`, in seconds since 1970."""
        return JWTClaimsRegistry(
            now=int(now),
            leeway=self.settings.leeway_s,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.audience},
            exp={"essential": True},
            sub={"essential": True},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    principal: Principal
    begins: float  # seconds since 1970, with the leeway
    ends: float
    keys: Jwks
    generation: int  # of the keys it was verified with


class Tokens:
    """Verifies tokens of the configured issuers; `roles` say what their bearers may do.

    `clock` gives monotonic seconds, for the age of keys only. Safe to share among threads.
    """

    def __init__(
        self,
        settings: Sequence[IssuerSettings],
        roles: Roles,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for what in ("name", "issuer"):
            if len({getattr(one, what) for one in settings}) != len(settings):
                raise WrongUse(f"issuers must differ by '{what}', got one twice: rename or drop it")
        self._issuers = {one.issuer: Issuer(one, clock) for one in settings}
        self._roles = roles
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to fetch keys; returns at once."""
        for issuer in self._issuers.values():
            issuer.keys.start()

    def close(self) -> None:
        """Stop fetching."""
        for issuer in self._issuers.values():
            issuer.keys.close()

    def cached(self, text: str, now: datetime) -> Principal | None:
        """Return whom a token meant before, if it still does. Never waits."""
        with self._lock:
            kept = self._kept.get(digest := _digest(text))
            if kept is None:
                return None
            if not (kept.begins <= now.timestamp() < kept.ends) or not _in_force(kept):
                del self._kept[digest]
                return None
            self._kept.move_to_end(digest)
        return kept.principal

    def authenticate(self, text: str, now: datetime) -> Answer:
        """Return whom a token means at `now`. May wait `wait_s` for a key that is not there yet."""
        if not text.isascii() or len(text) > LONGEST_TOKEN:
            return _refused(f"be at most {LONGEST_TOKEN} letters of a JWT", "something else")
        known = self.cached(text, now)
        if known is not None:
            return known
        try:
            return self._verified(text, now)
        except JoseError as error:
            return _why(error)
        except (ValueError, TypeError):
            return _refused("be a JWT in its compact form", "something else")

    def _verified(self, text: str, now: datetime) -> Answer:
        header = _header(text)
        if isinstance(header, Refusal):
            return header
        signed = jws.extract_compact(text.encode(), registry=_SIZES)
        claims = jwks.strict_json(signed.payload)
        issuer = self._issuer(claims)
        if issuer is None:
            return _refused("be of a configured issuer", "another 'iss'")
        found = _signature(issuer, header, signed)
        if isinstance(found, Refusal):
            return found
        issuer.rules(now.timestamp()).validate(claims)
        principal = issuers.principal(issuer.settings, claims, self._roles)
        if not isinstance(principal, Refusal):
            self._keep(text, _kept(issuer, claims, principal, found.generation))
        return principal

    def _issuer(self, claims: Any) -> Issuer | None:
        name = claims.get("iss") if isinstance(claims, dict) else None
        return self._issuers.get(name) if isinstance(name, str) else None

    def _keep(self, text: str, kept: _Kept) -> None:
        with self._lock:
            self._kept[_digest(text)] = kept
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)


_SIZES = Pinned(())  # to split a token within the limits, before its issuer is known


def _header(text: str) -> dict[str, Any] | Unauthenticated:
    parts = text.split(".")
    if len(parts) != 3 or not all(parts) or len(parts[0]) > Pinned.max_header_length:
        return _refused("be a signed JWT in its compact form", "something else")
    header = jwks.strict_json(urlsafe_b64decode(parts[0].encode()))
    if not isinstance(header, dict) or not isinstance(header.get("alg"), str):
        return _refused("name its algorithm", "none")
    if EXTENSIONS & header.keys():
        return _refused("ask for no extension", "'crit' or 'b64'")
    if str(header.get("typ", "JWT")).lower() not in TYPES:
        return _refused("be an access token", "another 'typ'")
    if not jwks.is_kid(header.get("kid")):
        return _refused(f"name its key in at most {jwks.LONGEST_KID} letters", "another 'kid'")
    return header


def _signature(
    issuer: Issuer, header: dict[str, Any], signed: CompactSignature
) -> Found | Unauthenticated | Unavailable:
    if header["alg"] not in issuer.pinned.names:
        return _refused("be signed with an algorithm of its issuer", "another 'alg'")
    found = issuer.keys.find(header.get("kid"), header["alg"])
    if isinstance(found, Refusal):
        return found
    if not jws.validate_compact(signed, found.key.key, registry=issuer.pinned):
        return _refused("be signed by its issuer", "another signature")
    return found


def _kept(issuer: Issuer, claims: dict[str, Any], principal: Principal, generation: int) -> _Kept:
    leeway = issuer.settings.leeway_s
    begins = max(claims.get("nbf", 0), claims.get("iat", 0)) - leeway
    return _Kept(
        principal=principal,
        begins=begins,
        ends=claims["exp"] + leeway,
        keys=issuer.keys,
        generation=generation,
    )


def _in_force(kept: _Kept) -> bool:
    return kept.keys.generation == kept.generation


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


_CLAIMS = {
    "iss": "be of a configured issuer",
    "aud": "be meant for this service",
    "nbf": "be valid already",
    "iat": "have been issued already",
}


def _why(error: JoseError) -> Unauthenticated:
    if isinstance(error, ExpiredTokenError):
        return _refused("not be expired", "one past its 'exp'")
    if isinstance(error, ClaimError):
        must = _CLAIMS.get(error.claim, "hold 'iss', 'aud', 'exp' and 'sub', well formed")
        return _refused(must, "another claim")
    return _refused("be a JWT in its compact form", "something else")


def _refused(must: str, value: str) -> Unauthenticated:
    return Unauthenticated(
        rule=f"a token must {must}", value=value, remedy="get a new one of its issuer"
    )
