"""Tokens of an issuer: every bad one is refused, and passes when the check it meets is off."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey
from joserfc.jwt import JWTClaimsRegistry

from cluster.access import issuers, jwks, jwkscache, tokens
from cluster.access.document import load_roles
from cluster.access.permissions import Permission
from cluster.access.principal import Principal, Unauthenticated, may, sees_row
from cluster.access.roles import Role
from cluster.errors import Refusal, WrongUse
from cluster.settings import validated
from tests.cluster import tokenissuer
from tests.cluster.tokenissuer import KEYS, NOW, Issuer, b64, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    type Mutant = Callable[[pytest.MonkeyPatch], None]

AT = datetime.fromtimestamp(NOW, UTC)
ROLES = load_roles()
EXACT = {"RS256": "rs", "PS256": "rs", "ES256": "es", "ES384": "es384", "EdDSA": "ed"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer that runs."""
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def verifier(issuer: Issuer) -> Iterator[tokens.Tokens]:
    """What verifies its tokens, with all keys there."""
    made = tokens.Tokens([issuer.settings()], ROLES)
    made.start()
    assert made.authenticate(issuer.token(sub="first"), AT)
    yield made
    made.close()


@pytest.mark.parametrize("alg", EXACT)
def test_a_good_token_is_a_principal(issuer: Issuer, verifier: tokens.Tokens, alg: str) -> None:
    """Of every algorithm, cold and from what is kept."""
    token = issuer.token(EXACT[alg], alg)
    for _ in range(2):
        assert verifier.authenticate(token, AT) == Principal(
            subject="corp:alice",
            roles=frozenset({Role.VIEWER}),
            permissions=ROLES.viewer.permissions,
            regions=frozenset({"emea"}),
            teams=None,
            clearance=ROLES.viewer.clearance,
            credential="token:corp",
        )


def _off(target: Any, name: str, value: Any) -> Mutant:
    return lambda patch: patch.setattr(target, name, value)


def _all(*mutants: Mutant) -> Mutant:
    def switch(patch: pytest.MonkeyPatch) -> None:
        for mutant in mutants:
            mutant(patch)

    return switch


def _no_claim(name: str) -> Mutant:
    return _off(JWTClaimsRegistry, f"validate_{name}", lambda *_: None)


def _key(key: Any) -> Mutant:
    known = jwks.PublicKey(kid=None, algorithms=frozenset(), key=key)
    found = jwkscache.Found(key=known, generation=0)
    return _off(jwkscache.Jwks, "find", lambda *_: found)


def _anything_goes(patch: pytest.MonkeyPatch) -> None:
    _key(tokenissuer.RSA)(patch)
    patch.setattr(jws, "validate_compact", lambda *_, **__: True)


def _every_algorithm(patch: pytest.MonkeyPatch) -> None:
    names = property(lambda _: frozenset(jws.JWSRegistry.algorithms), lambda *_: None)
    patch.setattr(tokens.Pinned, "names", names, raising=False)


def _plain_header(patch: pytest.MonkeyPatch) -> None:
    def header(text: str) -> Any:
        first = text.split(".")[0].encode()
        return jwks.strict_json(tokens.urlsafe_b64decode(first))

    patch.setattr(tokens, "_header", header)


def _altered(issuer: Issuer) -> str:
    head, _, signature = issuer.token().split(".")
    claims = issuer.claims(realm_access={"roles": ["fc-admin"]})
    return f"{head}.{b64(json.dumps(claims).encode())}.{signature}"


def _unsigned(issuer: Issuer) -> str:
    header = b64(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    return f"{header}.{b64(json.dumps(issuer.claims()).encode())}."


def _confused(issuer: Issuer) -> str:
    return issuer.token(alg="HS256", key=_SHARED)


def _twice(issuer: Issuer) -> str:
    text = json.dumps(issuer.claims())[:-1] + ', "sub": "root"}'
    return signed({"alg": "RS256", "kid": "rs"}, text.encode(), tokenissuer.RSA)


def _stranger(kid: str, **header: Any) -> Callable[[Issuer], str]:
    own = {"jwk": tokenissuer.jwk(tokenissuer.STRANGER, kid), **header}
    return lambda issuer: issuer.token(kid, key=tokenissuer.STRANGER, header=own)


# the public key as a shared secret, made past the library, which refuses to import one
_SHARED = OctKey(tokenissuer.PEM, tokenissuer.PEM)
_LONG = "k" * 300
_GARBAGE: dict[str, str] = {
    "empty": "",
    "spaces": "   ",
    "words": "not a token",
    "dots": "..",
    "many dots": "a.b.c.d.e",
    "not base64": "!!!.???.###",
    "not ascii": "tökén.a.b",
    "surrogate": "\ud800.a.b",
    "numbers": f"{b64(b'1')}.{b64(b'2')}.{b64(b'3')}",
    "list": f"{b64(b'["alg"]')}.{b64(b'[]')}.AAAA",
    "deep": f"{b64(b'[' * 3000)}.{b64(b'[' * 8000)}.AAAA",
    "api key": "fck_0123456789ab_secret",
}
_MATRIX: dict[str, tuple[Callable[[Issuer], str], Mutant]] = {
    "expired": (lambda i: i.token(exp=NOW - 31), _no_claim("exp")),
    "never expires": (
        lambda i: i.token(exp=float("inf")),
        _all(_off(jwks, "_DECODER", json.JSONDecoder()), _no_claim("exp")),
    ),
    "not yet valid": (lambda i: i.token(nbf=NOW + 31), _no_claim("nbf")),
    "issued tomorrow": (lambda i: i.token(iat=NOW + 86_400), _no_claim("iat")),
    "wrong audience": (lambda i: i.token(aud="another"), _no_claim("aud")),
    "wrong audiences": (lambda i: i.token(aud=["a", "b"]), _no_claim("aud")),
    "no audience": (
        lambda i: i.token(aud=None),
        _off(JWTClaimsRegistry, "essential_keys", frozenset()),
    ),
    "wrong issuer": (
        lambda i: i.token(iss="https://evil.example"),
        _all(
            _off(tokens.Tokens, "_issuer", lambda self, _: next(iter(self._issuers.values()))),
            _no_claim("iss"),
        ),
    ),
    "altered": (_altered, _off(jws, "validate_compact", lambda *_, **__: True)),
    "alg none": (_unsigned, _all(_plain_header, _every_algorithm, _key(tokenissuer.RSA))),
    "RS to HS": (_confused, _all(_every_algorithm, _key(_SHARED))),
    "another algorithm": (
        lambda i: i.token(alg="RS512"),
        _all(_every_algorithm, _key(tokenissuer.RSA)),
    ),
    "unknown key": (_stranger("nobody"), _key(tokenissuer.STRANGER)),
    "key of a header": (_stranger("rs"), _key(tokenissuer.STRANGER)),
    "key of another kind": (lambda i: i.token("es", "RS256", key=tokenissuer.RSA), _anything_goes),
    "no key id among many": (
        lambda i: i.token(header={"kid": None}),
        _all(_off(tokens.Pinned, "check_header", lambda *_: None), _key(tokenissuer.RSA)),
    ),
    "path as key id": (_stranger("../../../../dev/null"), _anything_goes),
    "SQL as key id": (_stranger("x' UNION SELECT 'k' --"), _anything_goes),
    "long key id": (
        _stranger(_LONG),
        _all(_off(jwks, "LONGEST_KID", 1000), _key(tokenissuer.STRANGER)),
    ),
    "key id of 100 kB": (
        _stranger("k" * 100_000, jwk={}),
        _all(
            _off(tokens, "LONGEST_TOKEN", 10**6),
            _off(tokens.Pinned, "max_header_length", 10**6),
            _off(jwks, "LONGEST_KID", 10**6),
            _key(tokenissuer.STRANGER),
        ),
    ),
    "too long": (
        lambda i: i.token(more="x" * tokens.LONGEST_TOKEN),
        _off(tokens, "LONGEST_TOKEN", 10**6),
    ),
    "logout token": (
        lambda i: i.token(header={"typ": "logout+jwt"}),
        _off(tokens, "TYPES", {"logout+jwt"}),
    ),
    "critical extension": (
        lambda i: i.token(header={"crit": ["x"], "x": 1}),
        _all(
            _off(tokens, "EXTENSIONS", set()), _off(tokens.Pinned, "check_header", lambda *_: None)
        ),
    ),
    "subject twice": (_twice, _off(jwks, "_DECODER", json.JSONDecoder())),
    "line in a subject": (
        lambda i: i.token(sub="alice\nroot"),
        _off(issuers, "_is_text", lambda *_: True),
    ),
}


def _fresh(verifier: tokens.Tokens) -> tokens.Tokens:
    verifier._kept.clear()
    return verifier


@pytest.mark.parametrize("case", _MATRIX)
def test_a_bad_token_is_refused(issuer: Issuer, verifier: tokens.Tokens, case: str) -> None:
    """In one line that repeats nothing of it, cold and once more."""
    token = _MATRIX[case][0](issuer)
    for _ in range(2):
        said = verifier.authenticate(token, AT)
        assert isinstance(said, Unauthenticated), case
        assert str(said).isprintable() and len(str(said)) < 200
        assert not any(part and part in str(said) for part in (*token.split("."), "evil", "root"))
    assert verifier.cached(token, AT) is None


@pytest.mark.parametrize("case", _MATRIX)
def test_a_bad_token_passes_without_its_check(
    issuer: Issuer, verifier: tokens.Tokens, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above would fail if the check were gone."""
    make, mutant = _MATRIX[case]
    token = make(issuer)
    mutant(monkeypatch)
    assert isinstance(_fresh(verifier).authenticate(token, AT), Principal)
    _fresh(verifier)


@pytest.mark.parametrize("case", _GARBAGE)
def test_garbage_is_refused(verifier: tokens.Tokens, case: str) -> None:
    """Whatever it is, it raises nothing."""
    assert isinstance(verifier.authenticate(_GARBAGE[case], AT), Unauthenticated)
    assert verifier.cached(_GARBAGE[case], AT) is None


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "sub"])
def test_what_must_be_there(issuer: Issuer, verifier: tokens.Tokens, claim: str) -> None:
    """A token without one of these claims is none."""
    assert isinstance(verifier.authenticate(issuer.token(**{claim: None}), AT), Unauthenticated)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": True}, {"exp": "tomorrow"}, {"exp": 10**400}, {"nbf": -1e308}, {"iat": [1]},
        {"aud": {"a": 1}}, {"aud": []}, {"sub": 7}, {"sub": ""}, {"sub": "x" * 256}, {"jti": 1},
        {"realm_access": {"roles": [1]}}, {"realm_access": {"roles": {"fc-admin": True}}},
        {"regions": 5}, {"regions": [None]}, {"teams": {"a": 1}}, {"iss": ["a"]},
    ],
    ids=str,
)  # fmt: skip
def test_odd_claims_raise_nothing(
    issuer: Issuer, verifier: tokens.Tokens, claims: dict[str, Any]
) -> None:
    """What is no proper value is refused, or (far times) means what it says."""
    said = verifier.authenticate(issuer.token(**claims), AT)
    assert isinstance(said, Unauthenticated) or claims.keys() <= {"exp", "nbf"}
    assert verifier.authenticate(issuer.token(**claims), AT) == said


def test_the_leeway_is_bounded(issuer: Issuer, verifier: tokens.Tokens) -> None:
    """29 s past the end are forgiven, 30 s are not, also to a token that was verified before."""
    token = issuer.token(exp=NOW, sub="late")
    assert verifier.authenticate(token, AT + timedelta(seconds=29))
    assert not verifier.authenticate(token, AT + timedelta(seconds=30))
    assert not verifier.authenticate(token, AT - timedelta(seconds=41))
    with pytest.raises(WrongUse, match="leeway_s"):
        _read(issuer, leeway_s=61)


def test_a_kept_token_ends_with_its_exp(
    issuer: Issuer, verifier: tokens.Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And would not, if what is kept did not know it."""
    kept = tokens._kept
    token, later = issuer.token(sub="kept"), AT + timedelta(hours=1)
    assert verifier.authenticate(token, AT) and verifier.cached(token, AT)
    assert verifier.cached(token, later) is None and not verifier.authenticate(token, later)
    monkeypatch.setattr(tokens, "_kept", lambda *given: replace(kept(*given), ends=1e18))
    assert verifier.authenticate(token, AT) and verifier.cached(token, later)
    _fresh(verifier)


def test_what_is_kept_is_bounded(
    issuer: Issuer, verifier: tokens.Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token used longest ago goes first, and no token is held, only its digest."""
    monkeypatch.setattr(tokens, "MOST_KEPT", 3)
    made = [issuer.token(sub=f"user{n}") for n in range(4)]
    _fresh(verifier)
    for token in made:
        assert verifier.authenticate(token, AT)
        verifier.cached(made[0], AT)
    assert [verifier.cached(token, AT) is not None for token in made] == [True, False, True, True]
    assert all(isinstance(key, bytes) and len(key) == 32 for key in verifier._kept)


@pytest.mark.parametrize("role", Role)
def test_each_role_may_what_it_is_granted(issuer: Issuer, role: Role) -> None:
    """No more and no less; a value that is not mapped gives nothing."""
    settings = issuer.settings(roles={f"g-{one}": one for one in Role}, role_claim="groups")
    with _started(settings) as made:
        said = made.authenticate(issuer.token(groups=[f"g-{role}", role, "g-root"]), AT)
    assert isinstance(said, Principal) and said.roles == {role}
    granted = ROLES.of(role)
    for permission in Permission:
        assert (may(said, permission) is None) == (permission in granted.permissions)
    assert said.clearance == granted.clearance


def test_nobody_without_a_role(issuer: Issuer, verifier: tokens.Tokens) -> None:
    """A verified token without a mapped role may do nothing."""
    for claims in ({"realm_access": None}, {"realm_access": {"roles": ["else"]}}):
        said = verifier.authenticate(issuer.token(**claims), AT)
        assert isinstance(said, Principal) and not said.permissions and not said.roles


@pytest.mark.parametrize(
    ("claims", "emea", "apac"),
    [
        ({"regions": ["emea"]}, True, False),
        ({"regions": "emea"}, True, False),
        ({"regions": None}, False, False),
        ({"regions": []}, False, False),
        ({"regions": ["*"]}, True, True),
    ],
    ids=str,
)
def test_rows_of_others_are_not_seen(
    issuer: Issuer, verifier: tokens.Tokens, claims: dict[str, Any], emea: bool, apac: bool
) -> None:
    """Without the claim no row is seen; all of them only with the value that was set for it."""
    said = verifier.authenticate(issuer.token(**claims), AT)
    assert isinstance(said, Principal)
    assert sees_row(said, region="emea") == emea and sees_row(said, region="apac") == apac
    assert sees_row(said) == apac


def test_two_issuers_do_not_speak_for_each_other(issuer: Issuer) -> None:
    """A token of one that names the other is refused; equal subjects are two principals."""
    with Issuer() as other:
        other.keys = [tokenissuer.jwk(tokenissuer.STRANGER, "theirs")]
        theirs = other.settings(name="partner")
        with _started(issuer.settings(), theirs) as made:
            own = other.token("theirs", key=tokenissuer.STRANGER)
            said, said_here = made.authenticate(own, AT), made.authenticate(issuer.token(), AT)
            assert isinstance(said, Principal) and isinstance(said_here, Principal)
            assert (said.subject, said_here.subject) == ("partner:alice", "corp:alice")
            false = issuer.token("theirs", key=tokenissuer.STRANGER)
            assert not made.authenticate(false, AT)
    with pytest.raises(WrongUse, match="differ by 'name'"):
        tokens.Tokens([issuer.settings(), issuer.settings(issuer="https://b.example")], ROLES)


def _read(running: Issuer, **more: Any) -> issuers.IssuerSettings:
    values = {**running.settings().model_dump(), **more}
    return validated(issuers.IssuerSettings, values, where="access.yaml")


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithms": ["HS256"]}, {"algorithms": ["none"]}, {"algorithms": []},
        {"issuer": "http://issuer.example"}, {"issuer": "https://u:p@issuer.example"},
        {"issuer": "https://a.example/?x=1"}, {"issuer": "file:///etc/passwd"}, {"issuer": "https://"},
        {"jwks_url": "http://169.254.169.254/keys"}, {"jwks_url": "http://localhost.evil.example/"},
        {"roles": {"a": "viewr"}}, {"roles": {}}, {"audience": ""}, {"name": "a:b"},
        {"cache_s": float("inf")}, {"colour": "red"}, {"regions": {"absent": "some"}},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_settings_are_one_line(issuer: Issuer, wrong: dict[str, Any]) -> None:
    """A symmetric algorithm, an address that is not safe, or an unknown role is refused."""
    with pytest.raises(WrongUse) as raised:
        _read(issuer, **wrong)
    assert str(raised.value).isprintable()


def test_a_claim_may_be_a_name_with_dots(issuer: Issuer) -> None:
    """The whole name goes before the path."""
    settings = issuer.settings(role_claim="https://example.com/roles")
    claims = {"https://example.com/roles": "fc-admin"}
    with _started(settings) as made:
        said = made.authenticate(issuer.token(**claims), AT)
    assert isinstance(said, Principal) and said.roles == {Role.ADMINISTRATOR}


class _started:
    def __init__(self, *settings: issuers.IssuerSettings) -> None:
        self._made = tokens.Tokens(settings, ROLES)

    def __enter__(self) -> tokens.Tokens:
        self._made.start()
        return self._made

    def __exit__(self, *_: object) -> None:
        self._made.close()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["RS256", "HS256", "none", "ES256", "", "EdDSA"]) | _JSON,
        "kid": st.sampled_from([*KEYS, "x"]) | _JSON,
        "typ": st.sampled_from(["JWT", "at+jwt"]) | _JSON,
        "crit": _JSON, "b64": _JSON, "jwk": _JSON, "x5c": _JSON, "jku": _JSON,
    },
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=200) | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_no_text_is_a_token(verifier: tokens.Tokens, text: str) -> None:
    """Any text is refused and raises nothing."""
    assert isinstance(verifier.authenticate(text, AT), Refusal)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_change_of_a_token_is_a_token(
    issuer: Issuer, verifier: tokens.Tokens, data: st.DataObject
) -> None:
    """One letter more, less or other anywhere, and it is refused: there is one spelling only."""
    token = issuer.token(*data.draw(st.sampled_from([("rs", "RS256"), ("ed", "EdDSA")])))
    place = data.draw(st.integers(0, len(token) - 1))
    put = data.draw(st.text(alphabet=token + "=+/_-.\n", max_size=2))
    changed = token[:place] + put + token[place + data.draw(st.integers(0, 1)) :]
    assert bool(verifier.authenticate(changed, AT)) == (changed == token)


@settings(max_examples=60, deadline=None)
@given(header=_HEADERS | _JSON, claims=_JSON, good=st.booleans())
def test_no_header_makes_a_token(
    issuer: Issuer, verifier: tokens.Tokens, header: Any, claims: Any, good: bool
) -> None:
    """Whatever header and claims say, a signature that is none is refused."""
    body = issuer.claims() if good else claims
    parts = (json.dumps(part).encode() for part in (header, body))
    token = ".".join([*map(b64, parts), b64(b"\0" * 64)])
    assert isinstance(verifier.authenticate(token, AT), Refusal)
