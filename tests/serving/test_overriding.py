"""Overrides: what a person did instead is on record once, and a judge of releases hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from cluster.errors import Refusal
from cluster.journal import JournalBroken
from cluster.workspace import Workspace
from jobs.release.run import ReleaseSettings, run
from serving.answer import overridden, overriding
from serving.answer.overridden import Instead
from serving.answer.overriding import Overrides
from serving.answer.service import DecisionService
from serving.api.application import make_application
from serving.client import Client, Invalid, NotFound
from serving.judging import told
from serving.policy import Fallback, load_policy
from serving.releases.plan import Step
from serving.wire.overrides import OverriddenOut
from tests.serving import releasing
from tests.serving.listening import listening
from tests.serving.releasing import LEAD, TARGET

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from cluster.settings import Settings

HERE, DECISIONS = "http://127.0.0.1", "/v1/decisions"
POLICY = load_policy("lead_routing")
ENOUGH = 10


@pytest.fixture(scope="module")
def service(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DecisionService]:
    """A service over a copy of the small world."""
    home = tmp_path_factory.mktemp("overriding") / "home"
    with Workspace.open(copied(home)) as place, closing(DecisionService(place, LEAD)) as made:
        yield made


@pytest.fixture(scope="module")
def client(service: DecisionService) -> Iterator[httpx.Client]:
    """A client of the whole application."""
    with TestClient(make_application(service), base_url=HERE) as http:
        yield http


@pytest.fixture
def decided(service: DecisionService) -> dict[str, Any]:
    """The record of a new decision."""
    return releasing.decide(service, releasing.leads(service.workspace, 1)[0])


def _other(route: str) -> str:
    return "nurture" if route != "nurture" else "account_executive"


def _override(http: httpx.Client, decided: dict[str, Any], **body: Any) -> httpx.Response:
    asked = {"route": _other(decided["verdict"]["route"]), **body}
    return http.post(f"{DECISIONS}/{decided['id']}/override", json=asked)


def _kept(service: DecisionService, decided: dict[str, Any]) -> list[dict[str, Any]]:
    every = (entry.body for entry in service.workspace.journal.entries(told.OVERRIDDEN))
    return [body for body in every if body["decision"] == decided["id"]]


def test_what_a_person_did_instead_is_on_record(
    service: DecisionService, client: httpx.Client, decided: dict[str, Any]
) -> None:
    """It is told with the decision, which is otherwise as it was, and made again the same."""
    path = f"{DECISIONS}/{decided['id']}"
    before = client.get(path).json()
    assert before["overridden"] is None
    answer = _override(client, decided, reason="wrong_segment")
    assert answer.status_code == 200, answer.text
    OverriddenOut.model_validate_json(answer.content)
    was = decided["verdict"]["route"]
    route = _other(was)
    said = {"route": route, "decided": was, "reason": "wrong_segment", "actor": "local"}
    assert {name: answer.json()[name] for name in said} == said
    assert client.get(path).json() == {**before, "overridden": answer.json()}
    assert client.get(f"{path}/replay").json()["equal"]
    (body,) = _kept(service, decided)
    assert body == {
        **said,
        "decision": decided["id"],
        "account": decided["seen"]["shard"],
        "reviewed": was == "human_review",
        "fallback": None,
        "basis": decided["basis"],
        "release": None,
    }


def test_said_again_it_adds_nothing(
    service: DecisionService,
    client: httpx.Client,
    decided: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever says it; on second thoughts the newest counts. The mutant keeps each anew."""
    first = _override(client, decided)
    assert _override(client, decided).content == first.content
    mine = Instead(route=first.json()["route"], reason=None, actor="eve")
    again = Overrides(service.workspace).keep(decided, mine)
    assert isinstance(again, dict)
    assert again["actor"] == "local"
    assert len(_kept(service, decided)) == 1
    second = _override(client, decided, reason="too_large")
    third = _override(client, decided)
    assert [second.json()["reason"], third.json()["reason"]] == ["too_large", None]
    path = f"{DECISIONS}/{decided['id']}"
    assert client.get(path).json()["overridden"] == third.json()
    assert len(_kept(service, decided)) == 3
    monkeypatch.setattr(Instead, "is_said", lambda *_: False)
    _override(client, decided)
    assert len(_kept(service, decided)) == 4


def test_who_comes_second_at_once_takes_the_next_place(
    service: DecisionService, decided: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked before the other had written. Neither is lost; the mutant, which does not look
    again, has no answer.
    """
    overrides, every, stale = Overrides(service.workspace), Overrides._every, [[], []]
    was, other = decided["verdict"]["route"], _other(decided["verdict"]["route"])
    third = next(r for r in overridden.routes(POLICY) if r not in (was, other))
    first = overrides.keep(decided, Instead(route=other, reason=None, actor="ada"))
    look = lambda self, id: stale.pop() if stale else every(self, id)  # noqa: E731
    monkeypatch.setattr(Overrides, "_every", look)
    mine = Instead(route=third, reason=None, actor="eve")
    assert overrides._tried(decided, mine) is None
    second = overrides.keep(decided, mine)
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert [first["route"], second["route"]] == [other, third]
    assert [body["route"] for body in _kept(service, decided)] == [other, third]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"route": "nurtur"}, "account_executive, sales_development, automated_outreach, nurture"),
        ({"route": "nurtur"}, "got 'nurtur': did you mean 'nurture'?"),
        ({"route": ""}, "route: String should have at least 1 character"),
        ({"route": None}, "route: Input should be a valid string"),
        ({"route": "a\nb"}, "route: String should match pattern"),
        ({"reason": "She was ill on Monday"}, "reason: String should match pattern"),
        ({"reason": "a" * 65}, "reason: String should match pattern"),
        ({"actor": "eve"}, "actor: Extra inputs are not permitted"),
    ],
)
def test_what_is_no_override_is_refused(
    service: DecisionService,
    client: httpx.Client,
    decided: dict[str, Any],
    body: dict[str, Any],
    said: str,
) -> None:
    """422 with the rule, and nothing is kept."""
    answer = _override(client, decided, **body)
    assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert _kept(service, decided) == []


def test_what_was_decided_is_no_override(
    service: DecisionService,
    client: httpx.Client,
    decided: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor is a name that stands twice a body, or an unknown id a decision. The mutant keeps it."""
    was, sent = decided["verdict"]["route"], {"content-type": "application/json"}
    same = _override(client, decided, route=was)
    assert same.status_code == 422
    assert "a route must be another than the one decided" in same.json()["detail"]
    path = f"{DECISIONS}/{decided['id']}/override"
    twice = b'{"route": "nurture", "route": "account_executive"}'
    found = client.post(path, content=twice, headers=sent)
    assert (found.status_code, "each name once" in found.json()["detail"]) == (422, True)
    assert _override(client, {**decided, "id": "nobody"}).status_code == 404
    assert _kept(service, decided) == []
    monkeypatch.setattr(overridden, "refused", lambda *_: None)
    assert _override(client, decided, route=was).status_code == 200


def test_a_decision_is_overridden_so_often_and_no_more(
    service: DecisionService,
    client: httpx.Client,
    decided: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was said last may be said again; with a wide bound there is one more."""
    monkeypatch.setattr(overridden, "MOST", 2)
    found = [_override(client, decided, reason=f"r{n}") for n in range(3)]
    assert [each.status_code for each in found] == [200, 200, 422]
    assert "must be overridden at most 2 times" in found[2].json()["detail"]
    assert _override(client, decided, reason="r1").content == found[1].content
    monkeypatch.undo()
    assert _override(client, decided, reason="r2").status_code == 200


def test_without_its_policy_a_route_is_a_name(
    service: DecisionService, decided: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which routes there were is not known any more; a text that names somebody is none."""
    gone = Refusal(rule="it must be there", value="none", remedy="restore it")
    monkeypatch.setattr(overriding.policies, "of_id", lambda *_: gone)
    overrides = Overrides(service.workspace)
    text = Instead(route="Ask Ada Lovelace", reason=None, actor="ada")
    assert isinstance(overrides.keep(decided, text), Refusal)
    name = Instead(route="partner-desk", reason=None, actor="ada")
    assert isinstance(overrides.keep(decided, name), dict)


def test_what_is_not_on_record_is_not_answered(
    service: DecisionService,
    client: httpx.Client,
    decided: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """503 where the journal does not take it, or too much waits for it; sent again it is kept."""

    def broken(*_: Any, **__: Any) -> Any:
        raise JournalBroken("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(service.workspace.journal, "record", broken)
        answer = _override(client, decided)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "the disk is full" in answer.json()["detail"]
    with monkeypatch.context() as patched:
        patched.setattr(overriding, "MOST_UNRECORDED", -1)
        assert _override(client, decided).status_code == 503
    assert _kept(service, decided) == []
    assert _override(client, decided).status_code == 200


def test_what_a_policy_leaves_to_a_person_is_reviewed(decided: dict[str, Any]) -> None:
    """And so says the entry; the routes are all that the policy may give, each once."""
    policy = POLICY.model_copy(update={"fallback": Fallback(route="nurture", reason="none")})
    known = overridden.routes(policy)
    assert known == (*(each.route for each in POLICY.routes), "human_review")
    left = {**decided, "verdict": {**decided["verdict"], "route": "human_review"}}
    instead = Instead(route="nurture", reason=None, actor="ada")
    assert overridden.body_of(left, instead, policy)["reviewed"]
    acted = {**decided, "verdict": {**decided["verdict"], "route": "account_executive"}}
    assert not overridden.body_of(acted, instead, policy)["reviewed"]
    rules = {**decided, "fallback": {"cause": told.INCIDENT, "detail": "x"}}
    assert overridden.body_of(rules, instead, policy)["fallback"] == told.INCIDENT


def test_a_candidate_that_persons_override_is_held(
    copied: Callable[[Path], Settings], tmp_path: Path
) -> None:
    """From decisions through the service, by the client, to the judge and its status."""
    with (
        Workspace.open(copied(tmp_path / "home")) as place,
        closing(DecisionService(place, LEAD)) as service,
        listening(make_application(service)) as url,
        Client(url, deadline_ms=9_000, timeout_s=60) as client,
    ):
        releasing.begin(service, releasing.candidate(place), Step(weight=25.0))
        accounts = _overridden_by_hand(service, client)
        with pytest.raises(NotFound):
            client.override("nobody", route="nurture")
        with pytest.raises(Invalid, match="an override: reason"):
            client.override("nobody", route="nurture", reason="She is ill")
        report = _do(place, "judge", actor="eve")
        why = f"hold: overrides more often in the candidate ({accounts} events"
        assert report.decided[0].startswith(why)
        assert report.wrote["state"] == "held"
        rows = {row["guard"]: row["says"] for row in report.figures["findings"]}
        assert (rows["overrides"], rows["split"]) == ("alarm: hold", "nothing against it")
        judged = client.release(TARGET).judged
        assert judged is not None
        alarms = [each.guard for each in judged.findings if each.is_alarm]
        assert alarms == ["overrides"]
        told_of = _do(place, "status").decided
        assert "is held" in told_of[0]
        assert why in told_of[1]


def _do(place: Workspace, action: str, **more: Any) -> Any:
    return run(place, ReleaseSettings(action=action, target=TARGET, **more), lambda *_: None)


def _overridden_by_hand(service: DecisionService, client: Client) -> int:
    """Decide about leads, and override what the candidate decided, until that is ten accounts;
    return of how many. In which order leads were scored is not known.
    """
    accounts: set[str] = set()
    for row in releasing.leads(service.workspace, 400):
        if len(accounts) >= ENOUGH:
            break
        made = client.decide(lead=row["entity"], as_of=row["time"], reasons=False)
        assert made.release is not None
        if made.release.arm != "candidate" or made.route == "human_review":
            continue
        client.override(made.id, route=_other(made.route), reason="wrong_segment")
        body = service.recorded(made.id)
        assert body is not None
        accounts.add(body["seen"]["shard"])
    assert len(accounts) == ENOUGH
    return ENOUGH
