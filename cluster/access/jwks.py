"""JWKS: the public keys an issuer publishes, read strictly (RFC 7517, RFC 8725).

Only asymmetric public keys meant for signatures are taken, each for the configured algorithms that
fit its type, curve and `alg`. Everything else in the document is passed over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from cluster.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    type AnyKey = RSAKey | ECKey | OKPKey

MOST_KEYS = 100
LONGEST_KID = 256
RSA_BITS = (2048, 8192)
FITS = {
    ("RSA", None): frozenset({"RS256", "RS384", "RS512", "PS256"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
_TYPES: dict[str, tuple[type[AnyKey], tuple[str, ...]]] = {
    "RSA": (RSAKey, ("kty", "n", "e")),
    "EC": (ECKey, ("kty", "crv", "x", "y")),
    "OKP": (OKPKey, ("kty", "crv", "x")),
}


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """A key of an issuer and the algorithms it may be used with."""

    kid: str | None
    algorithms: frozenset[str]
    key: AnyKey

    @property
    def mark(self) -> tuple[str | None, frozenset[str], str]:
        """What tells it from every other: name, algorithms, thumbprint (RFC 7638)."""
        return self.kid, self.algorithms, self.key.thumbprint()


@dataclass(frozen=True)
class Keys:
    """The keys of one document."""

    listed: tuple[PublicKey, ...]

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return the key named `kid` that fits; without a name, the only one that fits."""
        fitting = [key for key in self.listed if algorithm in key.algorithms]
        if kid is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.kid == kid), None)

    @property
    def marks(self) -> frozenset[tuple[str | None, frozenset[str], str]]:
        """What two documents with the same keys share."""
        return frozenset(key.mark for key in self.listed)


def strict_json(data: bytes) -> Any:
    """Return the JSON in `data`; ValueError for a name given twice, NaN, depth, or no UTF-8."""
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("JSON must not be nested that deep") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name must be given once")
    return names


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def parsed(data: bytes, algorithms: Collection[str]) -> Keys | Refusal:
    """Return the usable keys of a JWKS document. A document may hold none: then none is valid."""
    try:
        document = strict_json(data)
    except ValueError:
        document = None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        return Refusal(
            rule=f"a JWKS must be a JSON object with at most {MOST_KEYS} 'keys'",
            value="something else",
            remedy="check jwks_url",
        )
    keys = (_key(raw, frozenset(algorithms)) for raw in listed if isinstance(raw, dict))
    return Keys(tuple(key for key in keys if key is not None))


def _key(raw: Mapping[str, Any], algorithms: frozenset[str]) -> PublicKey | None:
    fitting = _algorithms(raw) & algorithms
    kid = raw.get("kid")
    if not fitting or not _is_for_signatures(raw) or not is_kid(kid):
        return None
    kind, fields = _TYPES[raw["kty"]]
    try:
        if kind is RSAKey and not _is_sound(raw):
            return None
        key = kind.import_key({field: raw[field] for field in fields})
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError):
        return None
    return PublicKey(kid=kid, algorithms=fitting, key=key)


def is_kid(kid: object) -> bool:
    """May it name a key, or is it absent?"""
    return kid is None or (isinstance(kid, str) and len(kid) <= LONGEST_KID)


def _algorithms(raw: Mapping[str, Any]) -> frozenset[str]:
    kty, curve = raw.get("kty"), raw.get("crv")
    if not isinstance(kty, str) or not isinstance(curve, str | None):
        return frozenset()
    fitting: frozenset[str] = FITS.get((kty, curve), frozenset())
    return frozenset(name for name in fitting if raw.get("alg", name) == name)


def _is_for_signatures(raw: Mapping[str, Any]) -> bool:
    # a private key in public is nobody's proof of anything
    operations = raw.get("key_ops", ["verify"])
    return (
        "d" not in raw
        and raw.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _is_sound(raw: Mapping[str, Any]) -> bool:
    # before the library sees it: what is too large costs time with every token
    n, e = (int.from_bytes(urlsafe_b64decode(raw[field].encode())) for field in ("n", "e"))
    return RSA_BITS[0] <= n.bit_length() <= RSA_BITS[1] and e < 2**32
