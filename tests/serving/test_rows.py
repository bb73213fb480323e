"""Rows by region and team: what a bound key does not see is as if it were not there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import iter_route_contexts

from cluster.access.principal import LOCAL
from cluster.access.roles import Role
from features.online import areas, base, tail
from features.online.build import build
from serving.access import guard, rows
from serving.answer import gather, writes
from serving.answer.gather import Gatherer
from serving.api import reading
from serving.judging.told import OVERRIDDEN
from serving.reading import priority
from tests.jobs.scoring import NAME
from tests.serving import dominions
from tests.serving.dominions import ODD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from features.online.areas import Areas
    from tests.serving.dominions import Dominion

type Territories = dict[tuple[str, str], tuple[str | None, str | None]]
type Bounds = dict[str, tuple[str, ...]]
ONE, MANY, EVENTS = "/v1/decisions", "/v1/decisions:batch", "/v1/events"
BATCH = {"content-type": "application/cloudevents-batch+json"}
SLOW: dict[str, Any] = {"deadline_ms": 9_000}
BOUNDS: list[Bounds] = [
    {"regions": ("dach",)},
    {"regions": (ODD, "iberia")},
    {"teams": ("south",)},
    {"regions": ("dach",), "teams": ("north",)},
    {"teams": ()},
]


@pytest.fixture(scope="module")
def told(made: Dominion) -> Territories:
    """Return region and team of every lead and account, read plainly from the log."""
    return dominions.territories(made.workspace)


@pytest.fixture(scope="module")
def free(made: Dominion) -> dict[str, str]:
    """Return the key of an application that sees all rows."""
    return made.key()


@pytest.fixture(scope="module")
def decided(made: Dominion, told: Territories, free: dict[str, str]) -> dict[str, str]:
    """Return the id of a decision about some leads of every territory, by lead."""
    found = {}
    for lead in _some(told, "lead"):
        answer = made.http.post(ONE, json={"lead": lead, **SLOW}, headers=free)
        assert answer.status_code == 200, answer.text
        found[lead] = answer.json()["id"]
    return found


def _some(told: Territories, kind: str) -> list[str]:
    """Return two entities of each territory."""
    by: dict[tuple[str | None, str | None], list[str]] = {}
    for (of, key), found in sorted(told.items()):
        if of == kind:
            by.setdefault(found, []).append(key)
    return [key for each in by.values() for key in each[:2]]


def _sees(bounds: Bounds, found: tuple[str | None, str | None]) -> bool:
    allowed = (bounds.get("regions"), bounds.get("teams"))
    return all(each is None or value in each for value, each in zip(found, allowed, strict=True))


def _without(answer: httpx.Response, *ids: str) -> tuple[int, str]:
    """Return an answer without the ids that the question named."""
    text = answer.text
    for id in ids:
        text = text.replace(id, "?")
    return answer.status_code, text


def test_territories_are_what_the_events_say(made: Dominion, told: Territories) -> None:
    """One by one and many together, from the tail and from a base."""
    known = made.service.areas
    assert len({*told.values()}) > 10
    assert {place: known.of(*place) for place in told} == told
    keys = [key for kind, key in told if kind == "lead"]
    assert _many(known, keys) == {key: told["lead", key] for key in keys}
    assert known.of_many("lead", ["nobody"]).to_pylist() == [
        {"entity": "nobody", "region": None, "team": None}
    ]
    snapshot = made.workspace.tables.head("events")
    assert snapshot
    found = base.Base(build(made.workspace, snapshot), made.workspace.blobs)
    listed = areas._of_base(found)["lead"].to_pylist()
    assert {row["entity"]: (row["region"], row["team"]) for row in listed} == {
        key: told["lead", key] for key in keys
    }


def _many(areas: Areas, keys: list[str]) -> dict[str, tuple[str | None, str | None]]:
    found = areas.of_many("lead", keys).to_pylist()
    return {row["entity"]: (row["region"], row["team"]) for row in found}


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_no_object_id_opens_a_row_of_others(
    made: Dominion,
    told: Territories,
    decided: dict[str, str],
    bounds: Bounds,
) -> None:
    """Decide, batch, read, explain, scores; each id answers 200 if it is theirs, else as nobody's
    does.
    """
    key = made.key(**bounds)
    cells = dict(_cells(made, told, decided, key))
    seen = {cell: _sees(bounds, told[cell[1:]]) for cell in cells}
    assert len(cells) > 100
    assert {c for c in cells if (cells[c] == 200) != seen[c]} == set()
    assert {cells[c] for c in cells if not seen[c]} <= {404}


def test_without_the_look_at_rows_every_id_opens_one(
    made: Dominion, told: Territories, decided: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the test above."""
    monkeypatch.setattr(rows, "sees", lambda *_: True)
    assert {*dict(_cells(made, told, decided, made.key(teams=()))).values()} == {200}


def _cells(
    made: Dominion, told: Territories, decided: dict[str, str], key: dict[str, str]
) -> Iterator[tuple[tuple[str, str, str], int]]:
    """Yield the status of every route by the kind and the key of the row that it is about."""
    asked = [{"lead": lead} for lead in decided]
    many = made.http.post(MANY, json={"decisions": asked, **SLOW}, headers=key).json()
    for lead, each in zip(decided, many["decisions"], strict=True):
        yield ("batch", "lead", lead), each["status"]
    for lead, id in decided.items():
        one = made.http.post(ONE, json={"lead": lead, **SLOW}, headers=key)
        yield ("one", "lead", lead), one.status_code
        for route in ("", "/explanation?most=1"):
            read = made.http.get(f"{ONE}/{id}{route}", headers=key)
            yield (route, "lead", lead), read.status_code
    for account in _some(told, "account"):
        path = f"/v1/accounts/{account}/scores?why=false&limit=1"
        yield ("scores", "account", account), made.http.get(path, headers=key).status_code


def test_what_is_not_seen_is_told_in_the_words_for_nobody(
    made: Dominion, told: Territories, decided: dict[str, str], free: dict[str, str]
) -> None:
    """Of every route: the same status, words and headers, but for the id."""
    key = made.key("ml_engineer", regions=("nowhere",))
    lead, id = next(iter(decided.items()))
    account = _some(told, "account")[0]
    for path, mine in (
        (f"{ONE}/%s", id),
        (f"{ONE}/%s/explanation", id),
        (f"{ONE}/%s/replay", id),
        ("/v1/accounts/%s/scores", account),
    ):
        there, none = (made.http.get(path % each, headers=key) for each in (mine, "nobody"))
        assert _without(there, mine) == _without(none, "nobody")
        assert there.status_code == 404
    for kind, mine in (("lead", lead), ("account", account)):
        posts = [made.http.post(ONE, json={kind: k}, headers=key) for k in (mine, "nobody")]
        assert _without(posts[0], mine) == _without(posts[1], "nobody")
        assert posts[0].status_code == 404
        assert {*posts[0].headers} == {*posts[1].headers}


@pytest.mark.parametrize("role", Role)
def test_of_all_routes_none_tells_a_row_of_others(
    made: Dominion, told: Territories, decided: dict[str, str], role: Role
) -> None:
    """The column "another tenant's row" of the authorisation matrix: every route, every role."""
    key = made.key(role.value, regions=("nowhere",))
    routes = _routes(made)
    assert len(routes) >= 24
    assert {route for route in routes if _tells(made, route, decided, told, key)} == set()


def test_a_route_that_tells_a_row_of_others_would_be_found(
    made: Dominion, told: Territories, decided: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the test above."""
    key = made.key("ml_engineer", regions=("nowhere",))
    monkeypatch.setattr(rows, "sees", lambda *_: True)
    found = {r for r in _routes(made) if _tells(made, r, decided, told, key)}
    assert len(found) >= 5


def _routes(made: Dominion) -> list[tuple[str, str]]:
    behind = made.http.app._behind  # type: ignore[attr-defined]
    contexts = iter_route_contexts(behind.routes)
    return [(method, each.path) for each in contexts for method in sorted(each.methods or {"GET"})]


def _tells(
    made: Dominion,
    route: tuple[str, str],
    decided: dict[str, str],
    told: Territories,
    key: dict[str, str],
) -> bool:
    """Does a route say more of somebody else's row than of one that is not there?"""
    (lead, id), account = next(iter(decided.items())), _some(told, "account")[0]
    method, path = route
    place = id if path.startswith(ONE) else account

    def said(place: str, lead: str) -> tuple[int, str]:
        body = {} if method == "GET" else {"json": {"lead": lead}}
        url = re.sub("{[^}]*}", place, path)
        return _without(made.http.request(method, url, headers=key, **body), place, lead)

    there = said(place, lead)
    return there != said("nobody", "nobody") or lead in there[1] or account in there[1]


def test_only_decisions_that_are_seen_are_overridden(
    made: Dominion, told: Territories, decided: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are as nobody's, and nothing is kept. The mutant looks at no rows."""
    key = made.key(regions=("dach",))

    def override(id: str) -> httpx.Response:
        body = made.service.recorded(id)
        is_so = body is not None and body["verdict"]["route"] == "nurture"
        asked = {"route": "account_executive" if is_so else "nurture"}
        return made.http.post(f"{ONE}/{id}/override", json=asked, headers=key)

    none = _without(override("nobody"), "nobody")
    assert none[0] == 404
    for lead, id in decided.items():
        answer = override(id)
        if told["lead", lead][0] == "dach":
            assert (answer.status_code, answer.json()["actor"]) == (200, "application-dach")
        else:
            assert _without(answer, id) == none
    kept = {entry.body["decision"] for entry in made.workspace.journal.entries(OVERRIDDEN)}
    assert kept == {id for lead, id in decided.items() if told["lead", lead][0] == "dach"}
    other = next(id for lead, id in decided.items() if told["lead", lead][0] != "dach")
    monkeypatch.setattr(rows, "sees", lambda *_: True)
    assert override(other).status_code == 200


def test_a_bound_engineer_replays_its_own(
    made: Dominion, told: Territories, decided: dict[str, str]
) -> None:
    lead = next(each for each in decided if told["lead", each][0] == "dach")
    key = made.key("ml_engineer", regions=("dach",))
    answer = made.http.get(f"{ONE}/{decided[lead]}/replay", headers=key)
    assert (answer.status_code, answer.json()["equal"]) == (200, True)


def _of_two_regions(told: Territories, made: Dominion) -> tuple[str, set[str], tuple[str, ...]]:
    """Return an account, those of its leads that are of ODD, one of these its best, and the regions
    of the account and its other leads.
    """
    scored = made.workspace.tables.read(f"scores_{NAME}").to_pylist()
    of: dict[str, list[str]] = {}
    for row in sorted(scored, key=lambda row: -row["probability"]):
        of.setdefault(row["account"], []).append(row["entity"])
    is_odd = lambda lead: told["lead", lead][0] == ODD  # noqa: E731
    found = ((a, leads) for a, leads in of.items() if a and is_odd(leads[0]))
    account, leads = next((a, ls) for a, ls in found if not all(map(is_odd, ls)))
    others = {told["lead", lead][0] or "" for lead in leads if not is_odd(lead)}
    return account, {*filter(is_odd, leads)}, ("dach", *others)


def test_of_an_account_only_leads_that_are_seen_are_taken(
    made: Dominion, told: Territories, free: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of those; made again it is the same one. Neither are others among its scores."""
    account, hidden, regions = _of_two_regions(told, made)
    key = made.key("ml_engineer", regions=regions)
    at = {"as_of": "2025-07-28T00:00:00Z"}
    answer = made.http.post(ONE, json={"account": account, **at, **SLOW}, headers=key).json()
    assert told["lead", answer["entity"]][0] in regions
    again = made.http.get(f"{ONE}/{answer['id']}/replay", headers=key).json()
    assert again["equal"], again["differs"]
    body = made.service.recorded(answer["id"])
    assert body is not None
    assert body["among"]
    assert not {*body["among"]} & hidden
    scored = made.http.get(f"/v1/accounts/{account}/scores", headers=key).json()["targets"]
    every = made.http.get(f"/v1/accounts/{account}/scores", headers=free).json()["targets"]
    assert {each["entity"] for each in scored} == {each["entity"] for each in every} - hidden
    whole = made.http.post(ONE, json={"account": account, **at, **SLOW}, headers=free).json()
    assert whole["entity"] in hidden
    assert made.http.get(f"{ONE}/{whole['id']}", headers=key).status_code == 404
    monkeypatch.setattr(gather, "_sees", lambda *_: True)
    mutant = made.http.post(ONE, json={"account": account, **at, **SLOW}, headers=key).json()
    assert mutant["entity"] == whole["entity"]


def test_an_explanation_shows_no_rows_of_others(
    made: Dominion, told: Territories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a feature is about the whole account, rows of leads that are not seen are left out."""
    account, hidden, regions = _of_two_regions(told, made)
    key = made.key(regions=regions)
    asked = {"account": account, "as_of": "2025-07-28T00:00:00Z", **SLOW}
    id = made.http.post(ONE, json=asked, headers=key).json()["id"]
    events = made.workspace.tables.read("events").to_pylist()
    lead_of = {event["event_id"].hex(): event["lead"] for event in events}
    _lean_on(made, monkeypatch, "account_touches_30d")

    def shown() -> set[str]:
        answer = made.http.get(f"{ONE}/{id}/explanation?most=1000", headers=key).json()
        rows = [row for reason in answer["reasons"] for row in reason["rows"]]
        return {lead_of[row["event_id"]] for row in rows}

    found = shown()
    assert found
    assert not found & hidden
    monkeypatch.setattr(reading, "_shows", lambda *_: lambda *_: True)
    assert shown() & hidden


def _lean_on(made: Dominion, monkeypatch: pytest.MonkeyPatch, feature: str) -> None:
    """Let every record have one reason, of a feature about the account."""
    recorded = made.service.recorded
    one = {"feature": feature, "label": "", "value": 1, "contribution": 1.0, "group": "",
           "features": [feature], "probability_change": 0.1, "text": ""}  # fmt: skip

    def leaning(id: str, eyes: Any = None) -> Any:
        body = recorded(id, eyes)
        return body and {**body, "reasons": [one]}

    monkeypatch.setattr(made.service, "recorded", leaning)


def test_a_list_is_filtered_before_it_is_paged(
    made: Dominion, told: Territories, free: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page is full, the order is that of all, and of an account with several leads the best
    that is seen is there. Mutant: the firsts of all accounts, filtered afterwards.
    """
    every = [*_pages(made, free, 1000)]
    assert len(every) > 20
    for bounds in BOUNDS[:4]:
        key = made.key(**bounds)
        found = [*_pages(made, key, 3)]
        assert all(_sees(bounds, told["lead", each["entity"]]) for each in found)
        named = [each["account"] for each in found if each["account"]]
        assert len(named) == len({*named})
        seen = [e["entity"] for e in every if _sees(bounds, told["lead", e["entity"]])]
        assert [e["entity"] for e in found if e["entity"] in {*seen}] == seen
    odd = made.key(regions=("dach",))
    most = {each["entity"] for each in _pages(made, odd, 3)}
    monkeypatch.setattr(priority, "ranked", priority.ranking)
    made_anew = priority.Priority(made.workspace)
    shown = rows.Shown(principal=_principal(regions=("dach",)), areas=made.service.areas)
    page = made_anew.page("high_intent", limit=1000, shown=shown)
    assert isinstance(page, priority.Page)
    assert {each.entity for each in page.accounts} < most


def _principal(**bounds: tuple[str, ...]) -> Any:
    return replace(LOCAL, **{name: frozenset(each) for name, each in bounds.items()})


def _pages(made: Dominion, key: dict[str, str], limit: int) -> Iterator[dict[str, Any]]:
    asked = {"order": "priority", "list": "high_intent", "limit": limit}
    after: dict[str, str] = {}
    while True:
        answer = made.http.get("/v1/accounts", params={**asked, **after}, headers=key).json()
        full = answer["next"] is not None
        assert len(answer["accounts"]) == limit or not full
        yield from answer["accounts"]
        if not full:
            return
        after = {"after": answer["next"]}


def test_a_cursor_of_another_is_no_cursor(made: Dominion, free: dict[str, str]) -> None:
    """It counts in other rows. One of the same bounds may go on."""
    path = "/v1/accounts?order=priority&list=high_intent&limit=1"
    keys = [made.key(regions=("dach",)), made.key(teams=("north",)), free]
    cursors = [made.http.get(path, headers=key).json()["next"] for key in keys]
    assert all(cursors)
    found = [
        [made.http.get(f"{path}&after={c}", headers=key).status_code for c in cursors]
        for key in keys
    ]
    assert found == [[200, 422, 422], [422, 200, 422], [422, 422, 200]]


def test_an_idempotency_key_of_another_shows_nothing(
    made: Dominion, told: Territories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bound keys have idempotency keys of their own; theirs of one row say nothing of another."""
    mine, other = (
        next(k for (kind, k), found in told.items() if kind == "lead" and found == ("dach", team))
        for team in ("south", "north")
    )
    south, north = (made.key(regions=("dach",), teams=(team,)) for team in ("south", "north"))
    header = {"idempotency-key": "order-1"}
    first = made.http.post(ONE, json={"lead": mine, **SLOW}, headers={**south, **header})
    again = made.http.post(ONE, json={"lead": mine, **SLOW}, headers={**south, **header})
    assert (again.headers["idempotent-replayed"], again.content) == ("true", first.content)
    assert (
        made.http.post(ONE, json={"lead": mine, **SLOW}, headers={**north, **header}).status_code
        == 404
    )
    own = made.http.post(ONE, json={"lead": other, **SLOW}, headers={**north, **header})
    assert (own.status_code, own.json()["entity"]) == (200, other)
    clash = made.http.post(ONE, json={"lead": other, **SLOW}, headers={**south, **header})
    assert clash.status_code == 404
    monkeypatch.setattr("serving.answer.questions.id_of_key", lambda key, owner: key)
    shared = {"idempotency-key": "order-2"}
    sent = ((south, mine), (north, other))
    found = [
        made.http.post(ONE, json={"lead": lead, **SLOW}, headers={**key, **shared}).status_code
        for key, lead in sent
    ]
    assert found == [200, 409]


def test_a_replayed_decision_is_judged_as_it_is_now(
    made: Dominion, told: Territories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of a decision about a lead of the account that is not seen any more opens nothing."""
    account, hidden, regions = _of_two_regions(told, made)
    both, some = made.key(regions=(*regions, ODD)), made.key(regions=regions)
    asked = {"account": account, "as_of": "2025-07-28T00:00:00Z", **SLOW}
    monkeypatch.setattr("serving.answer.questions.id_of_key", lambda key, owner: f"shared-{key}")
    monkeypatch.setattr(gather, "cases_at", _worst_first(gather.cases_at, hidden))
    header = {"idempotency-key": "moved"}
    first = made.http.post(ONE, json=asked, headers={**both, **header})
    assert first.json()["entity"] in hidden
    monkeypatch.undo()
    monkeypatch.setattr("serving.answer.questions.id_of_key", lambda key, owner: f"shared-{key}")
    answer = made.http.post(ONE, json=asked, headers={**some, **header})
    assert answer.status_code == 404
    monkeypatch.setattr(Gatherer, "shows", lambda *_: True)
    assert made.http.post(ONE, json=asked, headers={**some, **header}).content == first.content


def _worst_first(real: Callable[..., Any], chosen: set[str]) -> Callable[..., Any]:
    return lambda *given: tuple(c for c in real(*given) if c.entity in chosen)


def test_events_of_a_request_move_no_row(
    made: Dominion, told: Territories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says that a lead is of another region sees it no more than before. Mutant: judged by all
    that is there, as the features are.
    """
    lead = next(k for (kind, k), found in told.items() if kind == "lead" and found[0] == "usa")
    key = made.key(regions=("dach",))
    said = {"kind": "attribute", "name": "region", "text": "dach", "lead": lead}
    asked = {"lead": lead, "events": [{**said, "event_time": "2025-07-29T00:00:00Z"}], **SLOW}
    assert made.http.post(ONE, json=asked, headers=key).status_code == 404
    assert made.http.post(ONE, json={**asked, "lead": "nobody"}, headers=key).status_code == 404
    find = Gatherer.find

    def joined_first(
        self: Gatherer, slot: Any, question: Any, at: Any, look: Any, eyes: Any
    ) -> Any:
        shard, stored = look.of(question.kind, question.key)
        history = self.joined(stored, shard, question, at)
        seen = rows.sees(eyes, gather.areas.of_history(history, shard, "lead", lead))  # type: ignore[arg-type]
        return find(self, slot, question, at, look, None if seen else eyes)

    monkeypatch.setattr(Gatherer, "find", joined_first)
    assert made.http.post(ONE, json=asked, headers=key).status_code == 200


def test_without_features_a_bound_question_is_not_answered(
    made: Dominion, told: Territories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules do not answer about a row that was not looked at; they do where all are seen."""
    monkeypatch.setattr(gather, "cases_at", _fails)
    lead = next(k for (kind, k), found in told.items() if kind == "lead" and found[0] == "usa")
    key, free = made.key(regions=("usa",)), made.key()
    asked = {"lead": lead, **SLOW}
    assert made.http.post(ONE, json=asked, headers=key).status_code == 503
    assert made.http.post(ONE, json=asked, headers=free).json()["fallback"]["cause"]


def _fails(*_: Any) -> None:
    raise RuntimeError("the store is broken")


def _event(id: str, source: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    said = {"specversion": "1.0", "type": "funnelcast.touch.web_visit"}
    at = datetime(2025, 7, 20, tzinfo=UTC).isoformat()
    return {**said, "id": id, "source": source, "time": at, "data": data, **more}


def _sent(made: Dominion, key: dict[str, str], *events: dict[str, Any]) -> httpx.Response:
    return made.http.post(EVENTS, content=json.dumps(events), headers={**key, **BATCH})


def test_only_events_of_rows_that_are_seen_are_taken_in(
    made: Dominion, told: Territories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused one by one, unseen and never seen in the same words; a mutant takes them all."""
    mine = next(k for (kind, k), f in told.items() if kind == "account" and f[0] == "dach")
    other = next(k for (kind, k), f in told.items() if kind == "account" and f[0] == "usa")
    key = made.key(regions=("dach",))
    own = "application-dach"
    named = [{"account": mine}, {"account": other}, {"account": "nobody"}, {"rep": "rep-1"}]
    named.append({"account": mine, "lead": "nobody"})
    events = [_event(f"visit-{n}", f"{own}/web", data) for n, data in enumerate(named)]
    events.append(_event("visit-9", "/website", {"account": mine}))
    before = tail.count(made.workspace.database)
    told_of = _sent(made, key, *events).json()["events"]
    assert [each["status"] for each in told_of] == ["accepted", *["refused"] * 5]
    assert told_of[1]["reasons"].replace(other, "nobody") == told_of[2]["reasons"]
    assert "the source must be 'application-dach'" in told_of[5]["reasons"]
    assert tail.count(made.workspace.database) == before + 1
    monkeypatch.setattr(writes, "_refused", lambda *_: None)
    again = _sent(made, key, *events[1:3]).json()["events"]
    assert [each["status"] for each in again] == ["accepted", "accepted"]


def test_to_which_rows_an_entity_belongs_is_not_written(
    made: Dominion, told: Territories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """403, and nothing of the request is taken in. Nor may an event of others be corrected away.
    Whoever sees all rows may; the row is at once another's.
    """
    mine = next(k for (kind, k), f in told.items() if kind == "account" and f == ("usa", "north"))
    key, free, north = made.key(regions=("usa",)), made.key(), made.key(teams=("north",))
    path, own = f"/v1/accounts/{mine}/scores?why=false", "application-usa"
    moves = {"type": "funnelcast.attribute.team", "time": "2025-07-21T00:00:00Z"}
    visit = _event("visit-a", own, {"account": mine})
    move = _event("move-a", own, {"account": mine, "text": "south"}, **moves)
    before = tail.count(made.workspace.database)
    for sent in ((move,), (visit, move)):
        answer = _sent(made, key, *sent)
        assert (answer.status_code, "the attribute team" in answer.text) == (403, True)
    assert tail.count(made.workspace.database) == before
    assert made.http.get(path, headers=north).status_code == 200
    assert _sent(made, free, {**move, "source": "crm"}).json()["accepted"] == 1
    assert made.http.get(path, headers=north).status_code == 404
    undo = _event("move-a", "crm", {"account": mine})
    assert _sent(made, key, undo).json()["refused"] == 1
    assert made.http.get(path, headers=north).status_code == 404
    back = made.service.areas.of_many("account", [mine]).to_pylist()
    assert back == [{"entity": mine, "region": "usa", "team": "south"}]
    monkeypatch.setattr(writes, "_moved", lambda _: None)
    assert _sent(made, key, {**move, "data": {"account": mine, "text": "north"}}).status_code == 200


def test_a_route_that_says_nothing_of_rows_is_closed_to_who_is_bound(
    made: Dominion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meters are of all rows; models have none. The mutant lets them in."""
    key = made.key("ml_engineer", teams=("north",))
    statuses = [
        made.http.get(path, headers=key).status_code
        for path in ("/metrics", "/v1/models", "/v1/policies", "/v2/models/none")
    ]
    assert statuses == [403, 200, 200, 404]
    monkeypatch.setattr(guard.rows, "bound", lambda _: None)
    assert made.http.get("/metrics", headers=key).status_code == 200


def test_who_is_bound_to_nothing_is_not_looked_at(
    made: Dominion, told: Territories, free: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by a decision nor by a list: that path costs what it cost."""
    monkeypatch.setattr(rows, "sees", _fails)
    monkeypatch.setattr(rows.Shown, "among", _fails)
    lead = _some(told, "lead")[0]
    assert made.http.post(ONE, json={"lead": lead, **SLOW}, headers=free).status_code == 200
    path = "/v1/accounts?order=priority&list=high_intent&limit=1"
    assert made.http.get(path, headers=free).status_code == 200
    assert rows.bound(LOCAL) is None
