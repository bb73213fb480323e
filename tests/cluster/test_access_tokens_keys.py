"""The keys of an issuer: which are taken, how they are fetched, and when they end."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey

from cluster.access import jwks, jwkscache, jwksfetch, tokens
from cluster.access.document import load_roles
from cluster.access.principal import Principal, Unauthenticated, Unavailable
from cluster.errors import Refusal
from tests.cluster import tokenissuer
from tests.cluster.tokenissuer import DISCOVERY, EDWARDS, JWKS, NOW, P256, RSA, Issuer, jwk, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cluster.access.issuers import IssuerSettings

AT = datetime.fromtimestamp(NOW, UTC)
ALL = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")


class Clock:
    """Monotonic seconds that can be moved on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer that runs, of its own for each test."""
    with Issuer() as running:
        yield running


@contextmanager
def _tokens(settings: IssuerSettings, clock: Clock | None = None) -> Iterator[tokens.Tokens]:
    made = tokens.Tokens([settings], load_roles(), clock=clock or Clock())
    made.start()
    try:
        yield made
    finally:
        made.close()


def _keys(made: tokens.Tokens) -> jwkscache.Jwks:
    return next(iter(made._issuers.values())).keys


def _until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "too late"
        time.sleep(0.01)


# what is taken


def _listed(*raw: object, algorithms: tuple[str, ...] = ALL) -> list[str | None]:
    found = jwks.parsed(json.dumps({"keys": raw}).encode(), algorithms)
    assert isinstance(found, jwks.Keys)
    return [key.kid for key in found.listed]


def test_a_key_is_taken_for_what_fits_it() -> None:
    """Type, curve, its own `alg` and the configured algorithms, all of them."""
    raw = [jwk(RSA, "r"), jwk(RSA, "p", alg="PS256"), jwk(P256, "e"), jwk(EDWARDS, "d")]
    found = jwks.parsed(json.dumps({"keys": raw}).encode(), ("RS256", "PS256", "ES256"))
    assert isinstance(found, jwks.Keys)
    assert [(key.kid, set(key.algorithms)) for key in found.listed] == [
        ("r", {"RS256", "PS256"}), ("p", {"PS256"}), ("e", {"ES256"}),
    ]  # fmt: skip
    assert found.find("p", "RS256") is None and found.find("e", "RS256") is None
    assert found.find(None, "ES256") is found.listed[2] and found.find(None, "PS256") is None


_SMALL = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
_WEAK = {"kty": "RSA", "e": "AQAB", "n": tokenissuer.b64(_SMALL.n.to_bytes(128))}
_P521 = ECKey.import_key(ec.generate_private_key(ec.SECP521R1()))
_ED448 = OKPKey.import_key(ed448.Ed448PrivateKey.generate())


@pytest.mark.parametrize(
    "raw",
    [
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256", "kid": "a"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "RS256"}, jwk(RSA, "a", use="enc"),
        jwk(RSA, "a", alg="HS256"), jwk(RSA, "a", alg="none"), jwk(RSA, "a", alg=7),
        jwk(RSA, "a", key_ops=["sign"]), jwk(RSA, "a", key_ops=1), {**jwk(RSA, "a"), "kid": 5},
        jwk(RSA, "k" * 300), {**RSA.as_dict(private=True), "kid": "a"}, _WEAK,
        jwk(RSA, "a", n=tokenissuer.b64(b"\xff" * 2000)),
        jwk(RSA, "a", e=tokenissuer.b64(b"\xff" * 9)),
        jwk(RSA, "a", n=7), jwk(RSA, "a", n="é"), jwk(RSA, "a", e="AA"), jwk(RSA, "a", e=""),
        jwk(RSA, "a", crv="P-256"), jwk(P256, "a", x=tokenissuer.b64(b"\1" * 32)),
        jwk(P256, "a", crv=["P-256"]), {"kty": "EC", "crv": "P-256"}, jwk(EDWARDS, "a", x="AA"),
        jwk(_P521, "a"), jwk(_ED448, "a"), {"kty": ["RSA"]}, {}, [], "key", None, 1,
    ],
    ids=lambda raw: str(raw)[:60],
)  # fmt: skip
def test_what_is_no_key_for_signatures_is_passed_over(raw: object) -> None:
    """And the good one beside it is taken."""
    assert _listed(raw, jwk(P256, "good")) == ["good"]


def test_small_and_symmetric_keys_would_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing looked at size, purpose and privacy."""
    monkeypatch.setattr(jwks, "_is_for_signatures", lambda _: True)
    assert _listed(jwk(RSA, "a", use="enc")) == ["a"]
    assert _listed({**RSA.as_dict(private=True), "kid": "a"}) == ["a"]
    monkeypatch.setattr(jwks, "_is_sound", lambda _: True)
    with pytest.warns(match="2048"):
        assert _listed(_WEAK) == [None]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b'{"keys": {}}', b"\xff", b'{"keys": 1}', b'{"keys":[],"keys":[]}',
        b"[" * 100_000, b'{"keys": NaN}',
    ],
    ids=lambda data: repr(data[:30]),
)  # fmt: skip
def test_what_is_no_jwks_is_refused(data: bytes) -> None:
    """With one line."""
    assert isinstance(jwks.parsed(data, ALL), Refusal)


def test_too_many_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a hundred are no key set of anybody."""
    data = json.dumps({"keys": [jwk(P256, str(n)) for n in range(101)]}).encode()
    assert isinstance(jwks.parsed(data, ALL), Refusal)
    monkeypatch.setattr(jwks, "MOST_KEYS", 1000)
    assert isinstance(jwks.parsed(data, ALL), jwks.Keys)


_VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.lists(st.text())
_RAW = st.dictionaries(
    st.sampled_from(["kty", "crv", "n", "e", "x", "y", "alg", "use", "key_ops", "kid", "d"]),
    st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "sig"]) | _VALUES,
)


@given(raw=st.lists(_RAW | _VALUES, max_size=4))
def test_no_jwks_raises(raw: list[object]) -> None:
    """Whatever an issuer publishes."""
    assert isinstance(jwks.parsed(json.dumps({"keys": raw}).encode(), ALL), jwks.Keys | Refusal)


# how it is fetched


def _fetch(issuer: Issuer, **more: Any) -> jwks.Keys | Refusal:
    return jwksfetch.fetch(issuer.settings(**more))


def test_keys_come_by_discovery_or_address(issuer: Issuer) -> None:
    """The address saves the question where it is."""
    assert isinstance(_fetch(issuer), jwks.Keys)
    assert isinstance(_fetch(issuer, jwks_url=issuer.url + JWKS), jwks.Keys)
    assert issuer.hits == [DISCOVERY, JWKS, JWKS]


def _says(body: object, **how: Any) -> Callable[[Any], None]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda request: send(request, data, **how)


@pytest.mark.parametrize("uri", ["http://issuer.example/k", "file:///etc/passwd", 5, None, "",
                                 "https://u:p@issuer.example/"])  # fmt: skip
def test_discovery_leads_to_safe_addresses_only(issuer: Issuer, uri: object) -> None:
    """Of https, or of loopback for an issuer there."""
    issuer.answers[DISCOVERY] = _says({"issuer": issuer.url, "jwks_uri": uri})
    assert "not https" in str(_fetch(issuer))


def test_discovery_must_be_of_the_issuer(issuer: Issuer) -> None:
    """A document that names another one is not followed."""
    for document in ({"issuer": "https://evil.example", "jwks_uri": issuer.url + JWKS}, [], b"<"):
        issuer.answers[DISCOVERY] = _says(document)
        assert "another issuer" in str(_fetch(issuer))
    assert JWKS not in issuer.hits


def test_an_issuer_of_the_network_does_not_lead_to_loopback(issuer: Issuer) -> None:
    """Its discovery document cannot make us ask our own machine."""
    far = issuer.settings(issuer="https://issuer.example")
    assert not jwksfetch._may_follow(issuer.url + JWKS, far)
    assert jwksfetch._may_follow(issuer.url + JWKS, issuer.settings())


def test_an_issuer_must_be_certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By somebody we trust; SSL_CERT_FILE names them, as it does elsewhere."""
    tls, file = tokenissuer.certified(tmp_path)
    with Issuer(tls) as certified:
        assert "ConnectError" in str(_fetch(certified)) and not certified.hits
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert isinstance(_fetch(certified), jwks.Keys)


def _redirecting(settings: IssuerSettings) -> httpx.AsyncClient:
    return httpx.AsyncClient(follow_redirects=True, timeout=settings.timeout_s)


def test_redirects_are_not_followed(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """To no host; the other one is not even asked, and would be if they were."""
    with Issuer() as other:
        issuer.answers[JWKS] = _says(b"", status=302, location=other.url + JWKS)
        assert "status 302" in str(_fetch(issuer)) and not other.hits
        monkeypatch.setattr(jwksfetch, "_client", _redirecting)
        assert isinstance(_fetch(issuer), jwks.Keys) and other.hits


def test_a_huge_answer_is_not_read(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said or unsaid, more than the limit is refused."""
    issuer.answers[JWKS] = _says(json.dumps({"keys": issuer.keys}).encode() + b" " * 5_000_000)
    assert "bytes" in str(_fetch(issuer))
    monkeypatch.setattr(jwksfetch, "MOST_BYTES", 10**8)
    assert isinstance(_fetch(issuer), jwks.Keys)


def test_a_compressed_answer_is_not_read(issuer: Issuer) -> None:
    """It may be a thousand times larger than it looks."""
    body = gzip.compress(json.dumps({"keys": issuer.keys}).encode())
    issuer.answers[JWKS] = _says(body, content_encoding="gzip")
    assert "compressed" in str(_fetch(issuer))


def test_a_slow_issuer_is_given_up(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit bounds the whole: a byte now and then does not stretch it."""

    def drip(request: Any) -> None:
        body = json.dumps({"keys": [issuer.keys[0]]}).encode()
        request.send_response(200)
        request.end_headers()
        for start in range(0, len(body), 40):
            request.wfile.write(body[start : start + 40])
            request.wfile.flush()
            time.sleep(0.1)

    issuer.answers[JWKS] = drip
    began = time.monotonic()
    assert "within 0.4 s" in str(_fetch(issuer, timeout_s=0.4))
    assert time.monotonic() - began < 2.0
    unbounded = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda _: unbounded(None))
    assert isinstance(_fetch(issuer, timeout_s=0.4), jwks.Keys)


@pytest.mark.parametrize("status", [204, 401, 404, 500])
def test_an_issuer_with_trouble_is_told(issuer: Issuer, status: int) -> None:
    """By its status."""
    issuer.answers[JWKS] = _says(b"", status=status)
    assert str(status) in str(_fetch(issuer))


# how they are kept


def test_keys_come_again_before_they_are_old(issuer: Issuer) -> None:
    """In the background, and nobody waits for them."""
    with _tokens(issuer.settings(cache_s=1.0, refetch_s=0.1)) as made:
        _until(lambda: _keys(made).fetches >= 3)
    assert 3 <= issuer.hits.count(JWKS) <= 5


def test_a_rotated_key_is_accepted_at_once(issuer: Issuer) -> None:
    """The first token of a new key fetches it; those of the old one end, kept or not."""
    with _tokens(issuer.settings(refetch_s=0.1)) as made:
        old = issuer.token()
        assert made.authenticate(old, AT) and made.cached(old, AT)
        issuer.keys = [jwk(tokenissuer.STRANGER, "new")]
        time.sleep(0.15)
        said = made.authenticate(issuer.token("new", key=tokenissuer.STRANGER), AT)
        assert isinstance(said, Principal)
        assert made.cached(old, AT) is None and not made.authenticate(old, AT)


def test_a_kept_token_would_outlive_its_key(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If what is kept did not ask whether its keys are still in force."""
    monkeypatch.setattr(tokens, "_in_force", lambda _: True)
    with _tokens(issuer.settings(refetch_s=0.1)) as made:
        old = issuer.token()
        assert made.authenticate(old, AT)
        issuer.keys = [jwk(tokenissuer.STRANGER, "new")]
        time.sleep(0.15)
        assert made.authenticate(issuer.token("new", key=tokenissuer.STRANGER), AT)
        assert made.authenticate(old, AT)


@pytest.mark.drill
def test_the_same_keys_again_end_nothing(issuer: Issuer) -> None:
    """What was verified stays so when a fetch brings nothing new, in whatever order."""
    clock = Clock()
    with _tokens(issuer.settings(), clock) as made:
        assert made.authenticate(issuer.token(), AT)
        issuer.keys.reverse()
        clock.ahead = 301.0
        made.authenticate(issuer.token("gone", key=RSA), AT)
        _until(lambda: _keys(made).fetches == 2)
        assert made.cached(issuer.token("ed", "EdDSA"), AT) is None
        assert made._kept and all(tokens._in_force(kept) for kept in made._kept.values())


def _flooded(issuer: Issuer, clock: Clock) -> int:
    with _tokens(issuer.settings(refetch_s=5.0), clock) as made:
        assert made.authenticate(issuer.token(), AT)
        clock.ahead = 6.0
        for number in range(60):
            said = made.authenticate(issuer.token(f"k{number}", key=tokenissuer.STRANGER), AT)
            assert isinstance(said, Unauthenticated)
    return issuer.hits.count(JWKS)


def test_a_flood_of_unknown_keys_is_one_fetch(issuer: Issuer) -> None:
    """However many tokens name keys that are not there."""
    assert _flooded(issuer, Clock()) == 2  # the first one of all, and one


def test_a_flood_would_be_many_fetches(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing kept them apart."""
    monkeypatch.setattr(jwkscache.Jwks, "_pause", lambda keys: 0.0 if keys._wanted else 9.0)
    monkeypatch.setattr(jwkscache.Jwks, "_turn", _eager_turn(jwkscache.Jwks._turn))
    assert _flooded(issuer, Clock()) > 20


def _eager_turn(turn: Any) -> Any:
    def first(keys: jwkscache.Jwks) -> bool:
        if keys._tried is None:
            keys._wanted = True
        return bool(turn(keys))

    return first


def test_an_issuer_that_is_down_is_bridged_for_a_while(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its last keys work for `stale_s`, then nobody is accepted, and a line says why."""
    clock = Clock()
    settings = issuer.settings(cache_s=300.0, stale_s=600.0, refetch_s=0.1)
    with _tokens(settings, clock) as made, caplog.at_level(logging.INFO):
        kept, cold = issuer.token(), issuer.token(sub="cold")
        assert made.authenticate(kept, AT)
        issuer.answers[JWKS] = _says(b"", status=503)
        clock.ahead = 890.0
        assert isinstance(made.authenticate(issuer.token("gone", key=RSA), AT), Unauthenticated)
        assert made.cached(kept, AT) and made.authenticate(cold, AT)
        clock.ahead = 905.0
        assert made.cached(kept, AT) is None
        for token in (kept, cold):
            said = made.authenticate(token, AT)
            assert isinstance(said, Unavailable)
            assert "status 503" in str(said) and "corp" in str(said)
        del issuer.answers[JWKS]
        time.sleep(0.15)
        assert isinstance(made.authenticate(kept, AT), Principal)
    assert [record.levelname for record in caplog.records if record.name == jwkscache.__name__] == [
        "WARNING", "INFO",
    ]  # fmt: skip


def test_old_keys_would_work_for_ever(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing ended them."""
    clock = Clock()
    monkeypatch.setattr(jwkscache.Jwks, "_is_over", lambda *_: False)
    with _tokens(issuer.settings(), clock) as made:
        assert made.authenticate(issuer.token(), AT)
        issuer.answers[JWKS] = _says(b"", status=503)
        clock.ahead = 1e6
        assert made.authenticate(issuer.token(), AT)


def test_an_issuer_may_withdraw_every_key(issuer: Issuer) -> None:
    """An empty list is an answer: nothing is accepted from then on."""
    with _tokens(issuer.settings(cache_s=1.0, refetch_s=0.1)) as made:
        assert made.authenticate(issuer.token(), AT)
        issuer.keys = []
        _until(lambda: not made.authenticate(issuer.token(), AT))


def test_callers_wait_a_bounded_time(issuer: Issuer) -> None:
    """While an issuer is slow at most eight wait, `wait_s`; the rest are told at once."""
    gate = threading.Event()
    issuer.answers[JWKS] = lambda _: gate.wait(5.0)
    settings = issuer.settings(wait_s=1.0, timeout_s=5.0)

    def timed(number: int) -> tuple[float, object]:
        began = time.monotonic()
        said = made.authenticate(issuer.token(sub=f"user{number}"), AT)
        return time.monotonic() - began, said

    with _tokens(settings) as made, ThreadPoolExecutor(20) as pool:
        _until(lambda: JWKS in issuer.hits)
        took = list(pool.map(timed, range(20)))
        gate.set()
    assert all(isinstance(said, Unavailable) for _, said in took)
    waited = [seconds for seconds, _ in took if seconds > 0.9]
    assert 1 <= len(waited) <= jwkscache.MOST_WAITING and max(waited) < 3.0


def test_many_threads_share_one_verifier(issuer: Issuer) -> None:
    """From cold, all at once: one fetch, and every answer right."""
    made_tokens = [issuer.token(sub=f"user{number % 10}") for number in range(200)]
    with _tokens(issuer.settings()) as made, ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda token: made.authenticate(token, AT), made_tokens))
    subjects = [one.subject for one in said if isinstance(one, Principal)]
    assert subjects == [f"corp:user{number % 10}" for number in range(200)]
    assert issuer.hits.count(JWKS) == 1


def test_closing_ends_the_thread(issuer: Issuer) -> None:
    """Also of one that was never started."""
    with _tokens(issuer.settings()) as made:
        pass
    assert not _keys(made)._thread.is_alive()
    never = tokens.Tokens([issuer.settings(wait_s=0.0)], load_roles())
    assert isinstance(never.authenticate(issuer.token(), AT), Unavailable)
    never.close()


def test_nothing_outside_is_asked_for_by_a_header(issuer: Issuer) -> None:
    """Neither `jku` nor `x5u` nor a key id makes a request."""
    with Issuer() as other, _tokens(issuer.settings(refetch_s=0.1)) as made:
        other.keys = [jwk(tokenissuer.STRANGER, "rs")]
        header = {"jku": other.url + JWKS, "x5u": other.url + "/x5u"}
        for kid in ("rs", "../../x", other.url):
            token = issuer.token(kid, key=tokenissuer.STRANGER, header=header)
            assert isinstance(made.authenticate(token, AT), Unauthenticated)
        assert not other.hits and set(issuer.hits) <= {DISCOVERY, JWKS}
        assert isinstance(made.authenticate(issuer.token(header=header), AT), Principal)
        assert not other.hits
