"""A real issuer for tests: discovery and JWKS over HTTP on loopback, and tokens, good and bad."""

from __future__ import annotations

import base64
import contextlib
import http.server
import ipaddress
import json
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from cluster.access.issuers import IssuerSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AUDIENCE = "funnelcast"
NOW = 1_800_000_000
DISCOVERY, JWKS = "/.well-known/openid-configuration", "/jwks.json"
RSA = RSAKey.import_key(rsa.generate_private_key(65537, 2048))
STRANGER = RSAKey.import_key(rsa.generate_private_key(65537, 2048))
P256 = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))
P384 = ECKey.import_key(ec.generate_private_key(ec.SECP384R1()))
EDWARDS = OKPKey.import_key(ed25519.Ed25519PrivateKey.generate())
KEYS = {"rs": RSA, "es": P256, "es384": P384, "ed": EDWARDS}
PEM = RSA.public_key.public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    """Return the public half of a key as a JWKS lists it."""
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", **more}


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return TLS for 127.0.0.1 by a certificate of its own, and the file to trust it by."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, here = datetime.now(UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([here]), critical=True)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    file, secret = folder / "cert.pem", folder / "key.pem"
    file.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return context, file


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: dict[str, Any], payload: bytes, key: Any) -> str:
    """Return a token with exactly this header and payload, signed as the header says."""
    start = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    signature = jws.JWSRegistry.algorithms[header["alg"]].sign(start.encode(), key)
    return f"{start}.{b64(signature)}"


class Issuer:
    """Serves `keys`; `answers` replace the answer of a path; `hits` are the paths asked for."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.keys = [jwk(key, kid) for kid, key in KEYS.items()]
        self.answers: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = {}
        self.hits: list[str] = []
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.hits.append(self.path)
                with contextlib.suppress(OSError):  # who asks may have hung up
                    issuer.answers.get(self.path, issuer._answer)(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        found = {
            DISCOVERY: {"issuer": self.url, "jwks_uri": self.url + JWKS},
            JWKS: {"keys": self.keys},
        }.get(request.path)
        send(request, json.dumps(found).encode(), status=404 if found is None else 200)

    def settings(self, **more: Any) -> IssuerSettings:
        """Return settings that trust this issuer."""
        values = {
            "name": "corp",
            "issuer": self.url,
            "audience": AUDIENCE,
            "algorithms": ("RS256", "PS256", "ES256", "ES384", "EdDSA"),
            "role_claim": "realm_access.roles",
            "roles": {"fc-viewer": "viewer", "fc-admin": "administrator"},
            "regions": {"claim": "regions", "all_value": "*"},
            "teams": {"claim": "teams", "absent": "all"},
            "wait_s": 3.0,
            **more,
        }
        return IssuerSettings.model_validate(values)

    def claims(self, **more: Any) -> dict[str, Any]:
        """Return good claims, with changes; a value of None drops the claim."""
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "iat": NOW - 10,
            "nbf": NOW - 10,
            "exp": NOW + 600,
            "realm_access": {"roles": ["fc-viewer", "offline_access"]},
            "regions": ["emea"],
        }
        return {name: value for name, value in {**good, **more}.items() if value is not None}

    def token(
        self,
        kid: str = "rs",
        alg: str = "RS256",
        *,
        key: Any = None,
        header: Any = None,
        **more: Any,
    ) -> str:
        """Return a token of good claims with changes, signed with the key `kid` or another."""
        top = {"alg": alg, "kid": kid, "typ": "JWT", **(header or {})}
        payload = json.dumps(self.claims(**more)).encode()
        return signed(top, payload, key or KEYS[kid])


def send(
    request: http.server.BaseHTTPRequestHandler, body: bytes, *, status: int = 200, **headers: str
) -> None:
    """Answer a request."""
    request.send_response(status)
    for name, value in {"content-length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)
