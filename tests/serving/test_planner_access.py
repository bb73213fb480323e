"""The planner's page and who may see it: sessions, forms of others, and what a page may load."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import jinja2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from cluster import canonical
from cluster.access import apikeys, keyring
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keystore import Asked, KeyStore
from cluster.settings import ROOT
from serving.access import sessions
from serving.access.credentials import Credentials
from serving.access.sessions import COOKIE, Sessions
from serving.access.signedout import SignedOut
from serving.api.application import make_application
from serving.planner import asked, desk, pages, results, routes, sheet, signing
from tests.serving import made_up
from tests.serving.keyed import DAY, HERE, NOW, PEPPER, Clock, without_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from cluster.settings import Settings
    from serving.answer.service import DecisionService


OWN = {"origin": HERE}
STATIC = ROOT / "serving" / "planner" / "static"
_TOKEN = re.compile(r'name="token" value="([^"]+)"')


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at NOW."""
    return Clock()


@pytest.fixture
def service(settings: Settings, clock: Clock) -> Iterator[DecisionService]:
    """A service without models and without data."""
    with without_models(settings, clock) as made:
        yield made


@pytest.fixture
def credentials(service: DecisionService) -> Credentials:
    """Credentials that are asked for, and sessions."""
    ring = keyring.KeyRing(service.workspace.database, load_roles(), PEPPER)
    made = Sessions(secret=ring.secret("planner-session/1"))
    out = SignedOut(service.workspace.database)
    return Credentials(required=True, keys=ring, sessions=made, signed_out=out)


@pytest.fixture
def http(service: DecisionService, credentials: Credentials) -> Iterator[httpx.Client]:
    """A browser that is not known yet."""
    with _client(service, credentials) as client:
        yield client


@pytest.fixture
def local(service: DecisionService) -> Iterator[httpx.Client]:
    """A browser at the machine of a service that asks for no keys."""
    with _client(service, Credentials(required=False)) as client:
        yield client


@pytest.fixture
def key(service: DecisionService) -> Callable[..., str]:
    """Return a function that issues a key and returns its text."""
    store = KeyStore(service.workspace.database, load_roles())

    def make(role: str = "planner", **more: Any) -> str:
        wanted = replace(Asked(name="x", roles=(role,), lifetime=30 * DAY), **more)
        return store.issue(wanted, _act(), pepper=PEPPER).key.text

    return make


def _act() -> Act:
    return Act(actor="ada", reason="a test", now=NOW)


def _client(service: DecisionService, credentials: Credentials, base: str = HERE) -> TestClient:
    application = make_application(service, credentials)
    return TestClient(application, base_url=base, follow_redirects=False)


def _sign_in(client: httpx.Client, text: str, **more: str) -> httpx.Response:
    return client.post("/planner/sign-in", data={"key": text, **more}, headers=OWN)


def _token(client: httpx.Client) -> str:
    found = _TOKEN.search(client.get("/planner/new").text)
    assert found is not None
    return found.group(1)


def test_who_is_not_known_signs_in(http: httpx.Client, key: Callable[..., str]) -> None:
    """By a key that is shown once; the cookie is for the planner's page, and for no script."""
    refused = http.get("/planner/new")
    assert refused.status_code == 401
    assert 'name="next" value="/planner/new"' in refused.text
    found = _sign_in(http, key(), next="/planner/new")
    assert (found.status_code, found.headers["location"]) == (303, "/planner/new")
    said = found.headers["set-cookie"]
    assert said.startswith(f"{COOKIE}=1.")
    assert said.endswith("; Path=/planner; Max-Age=43200; HttpOnly; SameSite=Strict")
    assert http.get("/planner").status_code == 200
    left = http.post("/planner/sign-out", headers=OWN)
    assert left.status_code == 303
    assert http.get("/planner").status_code == 401


def test_who_signs_out_ends_the_session_for_all_who_hold_the_cookie(
    http: httpx.Client, service: DecisionService, credentials: Credentials,
    key: Callable[..., str], clock: Clock,
) -> None:  # fmt: skip
    """At every replica; another session of the same key goes on. It is forgotten when it would have
    ended."""
    _sign_in(http, text := key())
    stolen = {"cookie": f"{COOKIE}={http.cookies.get(COOKIE)}"}
    with _client(service, credentials) as other, _client(service, credentials) as thief:
        _sign_in(other, text)
        assert thief.get("/planner", headers=stolen).status_code == 200
        http.post("/planner/sign-out", headers={**OWN, **stolen})
        assert thief.get("/planner", headers=stolen).status_code == 401
        assert other.get("/planner").status_code == 200
        deaf = replace(credentials, signed_out=None)  # the mutant: the browser alone forgets it
        with _client(service, deaf) as mutant:
            assert mutant.get("/planner", headers=stolen).status_code == 200
        made, late = SignedOut(service.workspace.database), NOW + sessions.LASTS
        assert made.has(stolen["cookie"].partition("=")[2])
        made.add("another", late + sessions.LASTS, late)
        assert not made.has(stolen["cookie"].partition("=")[2])


def test_a_session_over_https_is_never_sent_without(
    service: DecisionService, credentials: Credentials, key: Callable[..., str]
) -> None:
    """The mark Secure."""
    with _client(service, credentials, "https://127.0.0.1") as client:
        headers = {"origin": "https://127.0.0.1"}
        found = client.post("/planner/sign-in", data={"key": key()}, headers=headers)
    assert found.headers["set-cookie"].endswith("; Secure")


def test_behind_a_proxy_that_ends_https_the_page_says_so(
    http: httpx.Client, key: Callable[..., str]
) -> None:
    """Its origin is https, and the browser says that it is the same."""
    headers = {"origin": "https://planner.example", "sec-fetch-site": "same-origin"}
    found = http.post("/planner/sign-in", data={"key": key()}, headers=headers)
    assert found.headers["set-cookie"].endswith("; Secure")


def test_the_cookie_does_not_hold_the_key(http: httpx.Client, key: Callable[..., str]) -> None:
    """But its name, so that a session ends with it."""
    text = key()
    said = _sign_in(http, text).headers["set-cookie"]
    found = apikeys.parse(text)
    assert isinstance(found, apikeys.ApiKey)
    assert found.id in said
    assert found.secret not in said


@pytest.mark.parametrize("text", ["", "fck_", "nonsense", "fck_" + "a" * 66, "x" * 5_000])
def test_another_text_opens_nothing(http: httpx.Client, text: str) -> None:
    """And is not repeated."""
    found = _sign_in(http, text)
    assert found.status_code == 422
    assert "set-cookie" not in found.headers
    assert len(text) < 9 or text not in found.text


def test_a_session_ends(
    http: httpx.Client, service: DecisionService, key: Callable[..., str], clock: Clock
) -> None:
    """With its time, and with its key."""
    text = key()
    _sign_in(http, text)
    clock.now = NOW + timedelta(hours=11)
    assert http.get("/planner").status_code == 200
    clock.now = NOW + timedelta(hours=12)
    assert http.get("/planner").status_code == 401
    clock.now = NOW
    assert http.get("/planner").status_code == 200
    store = KeyStore(service.workspace.database, load_roles())
    store.revoke(apikeys.parse(text).id, _act())  # type: ignore[union-attr]
    clock.now = NOW + timedelta(seconds=2)
    assert http.get("/planner").status_code == 401


@given(place=st.integers(0, 200), letter=st.sampled_from("aZ09-_.="))
def test_a_changed_session_is_none(place: int, letter: str) -> None:
    """Whatever is changed of it."""
    made = Sessions(secret=bytes(32))
    text = made.opened("a" * 16, NOW, bytes(16))
    place %= len(text)
    changed = text[:place] + letter + text[place + 1 :]
    assert made.key_id(text, NOW) == "a" * 16
    assert changed == text or made.key_id(changed, NOW) is None
    assert Sessions(secret=bytes([1]) * 32).key_id(text, NOW) is None


def test_a_token_is_of_one_session() -> None:
    """And a token is no session, nor the other way round."""
    made = Sessions(secret=bytes(32))
    assert made.is_token(made.token("a"), "a")
    assert not made.is_token(made.token("a"), "b")
    assert not made.is_token(made.opened("a" * 16, NOW, bytes(16)).rpartition(".")[2], "a")
    assert not made.is_token("ä", "a")


@pytest.mark.parametrize("other", ['{"a": 1}', "a b", '"', "\\", "a=b", "", "\xe9"])
def test_cookies_of_other_applications_hide_no_session(other: str) -> None:
    """All ports of a machine share them."""
    header = f"x={other}; {COOKIE}=1.a; y={other}".encode("latin-1")
    assert sessions.sent({"path": "/planner", "headers": [(b"cookie", header)]}) == "1.a"
    for none in (f"x{COOKIE}=1.a", COOKIE[:-1] + "=1.a", f"x={COOKIE}"):
        assert sessions.sent({"path": "/planner", "headers": [(b"cookie", none.encode())]}) is None


def test_a_session_counts_on_the_planners_page_alone(
    http: httpx.Client, key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser that sends it elsewhere is not known there; without the look at the path it is."""
    _sign_in(http, key())
    cookie = {"cookie": f"{COOKIE}={http.cookies.get(COOKIE)}"}
    places = ("/v1/models", "/v1/simulations", "/plannerx", "/v1/decisions")
    assert {http.get(p, headers=cookie).status_code for p in places[:2]} == {401}
    assert http.post("/v1/simulations", headers=cookie, json={}).status_code == 401
    real = sessions.sent
    monkeypatch.setattr(sessions, "sent", lambda scope: real({**scope, "path": "/planner"}))
    assert {http.get(p, headers=cookie).status_code for p in places[:2]} == {200}


def test_a_key_that_may_not_is_told_so(http: httpx.Client, key: Callable[..., str]) -> None:
    """In a page, not in JSON; who is bound to rows may not either."""
    for text in (key("viewer"), key("planner", regions=("emea",))):
        _sign_in(http, text)
        found = http.get("/planner")
        assert found.status_code == 403
        assert found.headers["content-type"] == "text/html; charset=utf-8"
        assert "verdict bad" in found.text


def _posts() -> list[str]:
    return [f"/planner{place}".replace("{id}", "a-1") for place in routes.TAKEN]


HEADERS: dict[str, dict[str, str]] = {
    "of another site": {"origin": "http://evil.example"},
    "of another port": {"origin": "http://127.0.0.1:8001"},
    "of nowhere": {"origin": "null"},
    "of another site, as the browser says": {"sec-fetch-site": "cross-site"},
    "of a site beside": {"sec-fetch-site": "same-site", "origin": HERE},
    "that says nothing": {},
}


@pytest.mark.parametrize("path", _posts())
def test_forms_of_others_are_not_taken(
    local: httpx.Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each route: from elsewhere, or without its token. Without the look at both they are."""
    token = _token(local)
    for headers in HEADERS.values():
        found = local.post(path, data={"token": token}, headers=headers)
        is_near = headers.get("origin", HERE).startswith(HERE)  # the guard knows the others
        assert found.status_code == (400 if is_near else 403)
    for wrong in ({}, {"token": ""}, {"token": token[:-1]}, {"token": "ä"}):
        assert local.post(path, data=wrong, headers=OWN).status_code == 400
    assert local.post(path, data={"token": token}, headers=OWN).status_code != 400
    monkeypatch.setattr(asked.Asked, "refused", lambda _: None)
    assert local.post(path, data={}, headers={}).status_code != 400


def test_signing_in_and_out_is_not_done_by_others(
    http: httpx.Client, key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another site can neither put its own session into a browser nor take one away."""
    text = key()
    for headers in HEADERS.values():
        for path in ("/planner/sign-in", "/planner/sign-out"):
            found = http.post(path, data={"key": text}, headers=headers)
            assert found.status_code == 400
            assert "set-cookie" not in found.headers
    monkeypatch.setattr(sessions, "foreign", lambda _: None)
    found = http.post("/planner/sign-in", data={"key": text}, headers=HEADERS["of another site"])
    assert "set-cookie" in found.headers


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example",
        "//evil.example",
        "/planner//evil",
        "/plannerx",
        "/planner/../v1",
        "\\",
        "/planner/drafts/\u4e2d",  # no header holds it
    ],
)
def test_nobody_is_sent_elsewhere(http: httpx.Client, key: Callable[..., str], place: str) -> None:
    """After signing in one goes on below /planner."""
    assert _sign_in(http, key(), next=place).headers["location"] == "/planner"
    assert signing._own("/planner/simulations/abc?shared=yes") != "/planner"


class Loaded(HTMLParser):
    """What of a page would run, or would be drawn with a style of its own."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()
        self.wrong: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        found = dict(attrs)
        self.tags.append(tag)
        own = ("/planner", "#", "application/json")
        if tag == "style" or any(n == "style" or n.startswith("on") for n in found):
            self.wrong.append(tag)
        if tag == "script" and not (found.get("src") or found.get("type") or "").startswith(own):
            self.wrong.append(tag)
        for name in ("src", "href", "action", "formaction", "hx-get", "hx-post"):
            if name in found and not (found[name] or "").startswith(own):
                self.wrong.append(f"{tag} {name}")


def _looked(text: str) -> Loaded:
    found = Loaded()
    found.feed(text)
    return found


def _hostile_form() -> dict[str, tuple[str, ...]]:
    """A form whose every text would break out of its place."""
    filled = sheet.changed(sheet.changed(sheet.empty(), "add-scenario"), "add-desk")
    for kind in ("outreach", "price", "campaign", "reps", "queue"):
        filled = sheet.changed(filled, f"add-lever:0:{kind}")
    texts = sheet.flat(filled)
    kept = {p: v for p, v in texts.items() if p.endswith(".kind")}
    return {**dict.fromkeys(texts, (made_up.HOSTILE,)), **kept, "save_as": (made_up.HOSTILE,)}


def _bodies(client: httpx.Client) -> list[str]:
    token = _token(client)
    places = ("", "/new", "/evidence/outreach", "/evidence/<script>", "/simulations/<img>")
    found = [client.get(f"/planner{place}").text for place in places]
    form = {name: list(values) for name, values in _hostile_form().items()}
    for path, do in (("run", ""), ("edit", "check"), ("edit", "save"), ("edit", "add")):
        sent = {**form, "token": token, "do": do}
        found.append(client.post(f"/planner/{path}", data=sent, headers=OWN).text)
    shown = results.shown(made_up.result((made_up.HOSTILE,), text=made_up.HOSTILE))
    one = results.Listed(
        id="a", title=made_up.HOSTILE, status="failed", words="", at="", by=made_up.HOSTILE,
        done=1, total=2, doing=made_up.HOSTILE, why=made_up.HOSTILE, is_over=True,
    )  # fmt: skip
    said = {"token": "t", "in_session": True, "who": made_up.HOSTILE}
    found.append(pages.rendered("result", one=one, shared=True, before=True, **said, **shown))
    found.append(pages.rendered("under_way", one=one, **said))
    found.append(pages.rendered("progress", one=one, **said))
    return found


def test_no_page_runs_what_others_wrote(
    local: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is escaped; without escaping it is found."""
    for body in _bodies(local):
        assert _looked(body).wrong == []
        assert "<img" not in body
        assert "49" not in re.findall(r"alert\(1\)&gt;&#34;&#39;&amp;(.{2})", body)
    made = pages._environment()
    monkeypatch.setattr(made, "autoescape", False)
    made.cache.clear()  # type: ignore[union-attr]
    monkeypatch.setattr(pages, "_environment", lambda: made)
    loose = [_looked(body).wrong for body in _bodies(local)]
    made.cache.clear()  # type: ignore[union-attr]
    assert any(loose)


def test_pages_load_nothing_but_from_here(local: httpx.Client) -> None:
    """By their headers too."""
    for place in ("", "/new", "/sign-in", "/simulations/none"):
        found = local.get(f"/planner{place}")
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "same-origin"
        assert found.headers["cache-control"] == "no-store"


def test_templates_escape_and_know_their_names() -> None:
    """Nothing is marked safe, and what is not given is an error."""
    made = pages._environment()
    assert made.autoescape
    assert made.undefined is jinja2.StrictUndefined
    texts = [path.read_text() for path in (ROOT / "serving/planner/pages").glob("*.html")]
    assert len(texts) > 8
    assert not [text for text in texts if "| safe" in text or "|safe" in text]


def test_vendored_files_are_those_that_were_looked_at() -> None:
    """Each by its digest, with its licence beside it; and nothing else is there."""
    said = orjson.loads((STATIC / "VENDORED.json").read_bytes())
    ours = {"planner.css", "planner.js", "icon.svg", "VENDORED.json"}
    assert {path.name for path in STATIC.iterdir()} == ours | set(said)
    for name, each in said.items():
        assert canonical.sha256_hex((STATIC / name).read_bytes()) == each["sha256"], name
        assert each["licence"] in ("0BSD", "MIT")
        assert (STATIC / each["text"]).stat().st_size > 500


def test_files_are_found_by_name_alone(local: httpx.Client) -> None:
    """No path leads out of the folder."""
    found = local.get(pages.address("htmx.min.js"))
    assert found.status_code == 200
    assert "immutable" in found.headers["cache-control"]
    for name in ("..%2froutes.py", "%2e%2e/pages/base.html", "nothing.js", "planner.css%00"):
        assert local.get(f"/planner/static/{name}").status_code == 404


def test_drafts_are_their_planners_own(
    http: httpx.Client, service: DecisionService, key: Callable[..., str]
) -> None:
    """Kept, changed, dropped; nobody else sees them."""
    ada, bob = key(name="ada"), key(name="bob")
    _sign_in(http, ada)
    form = {"token": _token(http), "do": "save", "save_as": "My plan!", "horizon": "abc"}
    kept = http.post("/planner/edit", data=form, headers=OWN)
    assert (kept.status_code, kept.headers["location"]) == (303, "/planner/drafts/my_plan")
    assert 'value="abc"' in http.get("/planner/drafts/my_plan").text
    assert "my plan" in http.get("/planner").text
    token = _token(http)
    _sign_in(http, bob)
    assert http.get("/planner/drafts/my_plan").status_code == 404
    assert "my plan" not in http.get("/planner").text
    stale = http.post("/planner/drafts/my_plan/drop", data={"token": token}, headers=OWN)
    assert stale.status_code == 400
    _sign_in(http, ada)
    dropped = {"token": _token(http)}
    assert http.post("/planner/drafts/my_plan/drop", data=dropped, headers=OWN).status_code == 303
    assert http.get("/planner/drafts/my_plan").status_code == 404


def test_a_form_without_a_script_is_a_page(local: httpx.Client) -> None:
    """With the script it is the form alone."""
    sent = {"token": _token(local), "do": "add-scenario", "funnel": "sales"}
    whole = local.post("/planner/edit", data=sent, headers=OWN)
    part = local.post("/planner/edit", data=sent, headers={**OWN, "hx-request": "true"})
    assert whole.text.startswith("<!doctype html>")
    assert part.text.lstrip().startswith('<form id="form"')
    assert "main" in _looked(whole.text).tags


def test_what_is_wrong_stands_beside_its_field(local: httpx.Client) -> None:
    """And is listed at the top with a way to it; the status says that nothing was done."""
    sent = {"token": _token(local), "funnel": "sales", "horizon": "a few", "s0.name": "more"}
    found = local.post("/planner/run", data=sent, headers=OWN)
    assert found.status_code == 422
    assert 'aria-describedby="f-horizon-problem"' in found.text
    assert '<a href="#f-horizon">How far to look</a>' in found.text


def test_every_address_of_a_form_goes_through_one_door() -> None:
    """No POST of the page is handled but by what looks at its token first."""
    source = (ROOT / "serving/planner/routes.py").read_text()
    assert source.count('methods=["POST"]') == 1
    assert source.count("@routes.post(") == 2  # sign-in and sign-out
    assert desk.run in routes.TAKEN.values()
