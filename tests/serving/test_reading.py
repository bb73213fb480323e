"""Reading a decision: every reason down to its rows, as they were known; and the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from cluster.errors import Refusal
from cluster.settings import CONFIGS
from features import compute, log, spine
from features.contracts import load_contracts
from features.online import entity
from features.online.history import History
from serving.answer.questions import Question
from serving.answer.service import DecisionService
from serving.api import problems, reading
from serving.decide import Basis
from serving.reading import explanation
from serving.slots.slot import Answer
from serving.wire.catalogue import ModelDetailOut, ModelsOut, PoliciesOut, PolicyDetailOut
from serving.wire.explanations import ExplanationOut
from serving.wire.problems import MEDIA_TYPE
from tests.serving.letting import letting

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.reading.explanation import Explanation, Sources

ANSWERS = {
    "lead": Answer(target="lead_qualification", policy="lead_routing"),
    "opportunity": Answer(target="opportunity_win", policy="deal_routing"),
}
type Body = dict[str, Any]


@pytest.fixture(scope="module")
def service(trained: Workspace) -> Iterator[DecisionService]:
    """Return a service over the small world."""
    made = DecisionService(trained, ANSWERS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(service: DecisionService) -> Iterator[TestClient]:
    """Return a client of the routes."""
    app = FastAPI()
    problems.add_handlers(app)
    app.include_router(reading.router(service))
    with TestClient(letting(app)) as made:
        yield made


@pytest.fixture(scope="module")
def sources(service: DecisionService) -> Sources:
    """Return where the routes have their inputs from."""
    return reading._sources(service, load_contracts(CONFIGS / "contracts"))


@pytest.fixture(scope="module")
def decided(service: DecisionService, trained: Workspace) -> list[Body]:
    """Return decisions about some leads as of three weeks ago: much happened since."""
    rows = trained.tables.read("scoring_lead_qualification").to_pylist()
    then = rows[0]["time"] - timedelta(days=21)
    asked = (Question(kind="lead", key=row["entity"], as_of=then) for row in rows[::4])
    found = (service.decide(question, deadline_ms=9000) for question in asked)
    return [made.body for made in islice((m for m in found if not isinstance(m, Refusal)), 12)]


def _explained(sources: Sources, body: Body, most: int = 1000) -> Explanation:
    return explanation.explain(body, sources, most=most)


def _features(service: DecisionService, body: Body, events: pa.Table) -> dict[str, Any]:
    slot = service.slots.by_kind["lead"]
    rows = spine.chosen(slot.target, events, [body["entity"]], _time(body))
    found = compute.compute(slot.program.view, events, rows)
    return dict(found.to_pylist()[0])


def _time(body: Body) -> datetime:
    """Return T of a decision."""
    return datetime.fromisoformat(body["time"])


def test_contributions_add_up_to_the_margin(sources: Sources, decided: list[Body]) -> None:
    """Of all features and the base; those of a reason to its own."""
    assert len(decided) == 12
    for body in decided:
        found = _explained(sources, body, most=1)
        assert found.gone == ()
        assert sum(found.contributions.values()) == pytest.approx(body["margin"], abs=1e-5)
        for each in found.reasons:
            shares = [share.contribution for share in each.features]
            if each.reason.group == "rules":
                assert set(shares) == {None}
            else:
                assert sum(s or 0.0 for s in shares) == pytest.approx(each.reason.contribution)


def test_the_base_is_the_chance_before_any_reason(sources: Sources, decided: list[Body]) -> None:
    """One for all decisions of a model, and near the mean chance."""
    bases = {_explained(sources, body, most=1).base for body in decided}
    (base,) = bases
    assert base == pytest.approx(np.mean([body["probability"] for body in decided]), abs=0.1)


def test_deleting_the_rows_changes_the_features_of_the_reason(
    service: DecisionService, sources: Sources, decided: list[Body]
) -> None:
    """Of every reason that is made of rows."""
    changed = 0
    for body in decided:
        events = service.store.events(body["seen"]["shard"])
        found = _explained(sources, body)
        for each in found.reasons:
            keys = {row["row_key"] for row in each.rows} - {_anchor(events, body)}
            if not keys:
                continue
            gone = pc.is_in(events["row_key"], pa.array(sorted(keys), pa.string()))
            left = _features(service, body, events.filter(pc.invert(gone)))
            names = each.reason.features
            assert [left[n] for n in names] != [body["features"][n] for n in names]
            changed += 1
    assert changed > 20


def _anchor(events: pa.Table, body: Body) -> str | None:
    """Return the row that tells of the lead itself: without it there is none."""
    is_it = pc.and_(pc.equal(events["lead"], body["entity"]), pc.equal(events["name"], "created"))
    found = events.filter(is_it)["row_key"].to_pylist()
    return found[0] if found else None


def _lagging(service: DecisionService, trained: Workspace) -> Iterator[tuple[Body, str]]:
    """Yield decisions at moments when an event had happened and was not known, and its row."""
    rows = trained.tables.read("scoring_lead_qualification").to_pylist()
    for row in rows[:40]:
        events = service.store.events(service.store.shard_of("lead", row["entity"]) or "")
        mine = pc.equal(events["lead"], row["entity"])
        touches = events.filter(pc.and_(mine, pc.equal(events["name"], "web_visit")))
        for event in touches.to_pylist()[:1]:
            at = event["known_at"] - timedelta(seconds=1)
            question = Question(kind="lead", key=row["entity"], as_of=at)
            made = service.decide(question, deadline_ms=9000)
            if event["event_time"] < at and not isinstance(made, Refusal):
                yield made.body, event["row_key"]


def _told_early(sources: Sources) -> Sources:
    """The mutant: events are taken as known when they happened."""

    def history(body: explanation.Body) -> History | Refusal:
        found = sources.history(body)
        assert isinstance(found, History)
        events = found.table()
        place = events.schema.get_field_index("known_at")
        early = events.set_column(place, log.SCHEMA.field("known_at"), events["event_time"])
        return entity.joined(History(parts=()), body["seen"]["shard"], early)

    return replace(sources, history=history)


def test_rows_are_those_that_were_known_at_t(
    service: DecisionService, sources: Sources, trained: Workspace, decided: list[Body]
) -> None:
    """Mutant: evidence that does not look at `known_at` names a row that nobody knew, and is told
    apart by the features that it gives.
    """
    for body in decided:
        for each in _explained(sources, body).reasons:
            for row in each.rows:
                assert row["event_time"] < _time(body)
                assert row["known_at"] <= _time(body)
    lagging = list(islice(_lagging(service, trained), 10))
    found = [_explained(sources, body) for body, _ in lagging]
    mutants = [_explained(_told_early(sources), body) for body, _ in lagging]
    late = [key for _, key in lagging]
    assert not any(_shows(*each) for each in zip(found, late, strict=True))
    assert any(_shows(*each) for each in zip(mutants, late, strict=True))
    assert not any(each.gone for each in found)
    assert any("as it was decided upon" in line for each in mutants for line in each.gone)


def _shows(found: Explanation, row_key: str) -> bool:
    return row_key in {row["row_key"] for each in found.reasons for row in each.rows}


def test_rows_name_their_file_and_events_of_the_request_the_request(
    client: TestClient, service: DecisionService, decided: list[Body]
) -> None:
    """Over HTTP, newest first, no more than asked for."""
    lead, account = decided[0]["entity"], decided[0]["account"]
    at = _time(decided[0])
    visit = {"kind": "touch", "name": "pricing_visit", "lead": lead, "account": account}
    events = tuple({**visit, "event_time": at - timedelta(hours=h)} for h in (1, 2, 3))
    made = service.decide(
        Question(kind="lead", key=lead, as_of=at, events=events), deadline_ms=9000
    )
    assert not isinstance(made, Refusal)
    answer = client.get(f"/v1/decisions/{made.body['id']}/explanation?most=2")
    ExplanationOut.model_validate_json(answer.content)
    said = answer.json()
    by_group = {each["group"]: each for each in said["reasons"]}
    prices = by_group["touch:pricing_visit"]
    assert prices["count"] >= 3
    assert [row["source"] for row in prices["rows"]] == ["request", "request"]
    assert [row["row_key"] for row in prices["rows"]] == ["request:0", "request:1"]
    assert prices["rows"][0]["file"] is None
    others = [client.get(f"/v1/decisions/{body['id']}/explanation").json() for body in decided[:5]]
    rows = [row for each in others for reason in each["reasons"] for row in reason["rows"]]
    assert {row["file"] for row in rows if row["source"] == "world"} == {"world"}
    assert all(len(each["rows"]) <= 2 for each in said["reasons"])
    assert said["score"] == made.body["probability"]
    assert [each["group"] for each in said["reasons"]] == [r["group"] for r in made.body["reasons"]]


def test_reasons_that_were_not_asked_for_are_made_again(
    sources: Sources, decided: list[Body]
) -> None:
    """The same as those that were, to the bit."""
    for body in decided:
        asked, again = (_explained(sources, b) for b in (body, {**body, "reasons": None}))
        assert again == asked


def test_a_decision_of_the_rules_is_explained_by_the_rules(
    sources: Sources, decided: list[Body]
) -> None:
    """No contribution of the model; the rules that fired, with their rows."""
    body = max(decided, key=lambda each: each["points"])
    fallback = {"cause": "deadline", "detail": "late"}
    found = _explained(sources, {**body, "reasons": None, "fallback": fallback})
    assert body["points"] > 0
    assert [each.reason.group for each in found.reasons] == ["rules"]
    assert found.reasons[0].count > 0
    assert (found.contributions, found.base) == ({}, _explained(sources, body).base)


def test_what_is_gone_is_named_and_the_rest_is_told(sources: Sources, decided: list[Body]) -> None:
    """A model, and events."""
    body = decided[0]
    no_model = {**body, "basis": {**body["basis"], "model": "0" * 64}}
    found = _explained(sources, no_model)
    assert [each.reason for each in found.reasons] == [
        each.reason for each in _explained(sources, body).reasons
    ]
    assert (found.base, "the model 000000000000" in found.gone[0]) == (None, True)
    more = {**body, "seen": {**body["seen"], "count": body["seen"]["count"] + 1}}
    found = _explained(sources, more)
    assert "events of" in found.gone[0]
    assert [each.rows for each in found.reasons] == [()] * len(found.reasons)
    assert found.base is not None


def test_an_old_model_is_loaded_once(sources: Sources, decided: list[Body]) -> None:
    """A basis that is not live any more is had again, and kept."""
    basis = {**decided[0]["basis"], "code": "another"}
    first, again = (sources.slot(Basis(**basis)) for _ in range(2))
    assert not isinstance(first, Refusal)
    assert first is again


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/decisions/none/explanation", 404, "no decision has the id 'none'"),
        ("/v1/decisions/none/explanation?most=0", 422, "most: Input should be greater"),
        ("/v1/decisions/none/explanation?most=99999", 422, "less than or equal to 1000"),
        (f"/v1/decisions/{'x' * 201}/explanation", 422, "at most 200 characters"),
        ("/v1/decisions/a%07b/explanation", 422, "control characters"),
        ("/v1/accounts/nobody/scores", 404, "must be in the event log, got 'nobody'"),
        ("/v1/accounts/nobody/scores?target=leed", 404, "a target must have scores, got 'leed'"),
        ("/v1/accounts/nobody/scores?target=mql_to_sql", 404, "jobs.score --target mql_to_sql"),
        ("/v1/accounts", 422, "list: Field required"),
        ("/v1/accounts?list=best", 422, "high_intent"),
        ("/v1/accounts?list=high_intent&order=name", 422, "priority"),
        ("/v1/accounts?list=high_intent&limit=0", 422, "limit"),
        ("/v1/accounts?list=high_intent&after=%07", 422, "must be the `next` of a page"),
        ("/v1/models/lead_qualificaton", 404, "did you mean 'lead_qualification'"),
        ("/v1/policies/lead_rooting", 404, "did you mean 'lead_routing'"),
        ("/v1/models/a%0Ab", 422, "control characters"),
        ("/v1/models/a%0A", 422, "control characters"),
    ],
)
def test_what_is_wrong_is_a_problem_in_one_line(
    client: TestClient, path: str, status: int, words: str
) -> None:
    """With the rule, the value and what to do."""
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert words in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_models_and_policies_say_what_is_live_since_when_and_why(
    client: TestClient, trained: Workspace
) -> None:
    """As the refs say it; in the words of the wire."""
    models = ModelsOut.model_validate_json(client.get("/v1/models").content).models
    assert {each.target for each in models} == {"lead_qualification", "opportunity_win"}
    detail = ModelDetailOut.model_validate_json(client.get("/v1/models/lead_qualification").content)
    ref = trained.refs.get("models/lead_qualification/stable")
    assert ref is not None
    live = detail.aliases[0]
    assert (live.alias, live.version, live.since) == (ref.name, ref.target, ref.moved_at)
    assert (live.actor, live.reason) == (ref.actor, ref.reason)
    assert [reign.until for reign in detail.history] == [None]
    assert detail.card is not None
    assert detail.card.model == ref.target
    assert set(detail.card.metrics["scorers"]) >= {"model", "rules"}
    named = PoliciesOut.model_validate_json(client.get("/v1/policies").content).policies
    assert {"lead_routing", "deal_routing"} <= {each.name for each in named}
    policy = PolicyDetailOut.model_validate_json(client.get("/v1/policies/lead_routing").content)
    assert policy.active is not None
    assert policy.active.version == policy.versions[-1].id
    assert policy.versions[-1].document["routes"][0]["route"] == "account_executive"
