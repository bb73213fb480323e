"""Whoever forbids to be scored is not: at once, whoever took the word in, and wherever it shows."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.testclient import TestClient

from cluster.settings import CONFIGS, WrongUse
from cluster.workspace import Workspace
from features import compaction, consent, fingerprint, ingest, log
from features.consent import Keeper, Ledger, Terms, Word, arrived, keeper, words
from features.contracts import load_contracts
from serving.answer import gather, questions, record
from serving.answer.questions import Question
from serving.answer.service import DecisionService
from serving.answer.ticket import Answered
from serving.api.application import make_application
from serving.slots.slot import Answer
from tests.drills import mostly

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from cluster.settings import Settings

HERE = "http://127.0.0.1"
URN = "urn:funnelcast:problem:consent-withdrawn"
ANSWERS = {"lead": Answer(target="lead_qualification", policy="lead_routing")}
SLOW = {"deadline_ms": 5_000}
LONG_MS = 5_000
WITHIN_S = 1.0
CLOUD = "application/cloudevents-batch+json"
type Row = dict[str, Any]


@pytest.fixture(scope="module")
def opened(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workspace]:
    """Open a copy of the small world: persons of it will say things."""
    home = tmp_path_factory.mktemp("consent") / "home"
    with Workspace.open(copied(home)) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def service(opened: Workspace) -> Iterator[DecisionService]:
    """Return a service over it."""
    made = DecisionService(opened, ANSWERS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(service: DecisionService) -> Iterator[httpx.Client]:
    """Return a client of the whole application."""
    with TestClient(make_application(service), base_url=HERE) as http:
        yield http


@pytest.fixture(scope="module")
def leads(opened: Workspace) -> Iterator[Row]:
    """Yield scored leads, each once: what one test does to a lead must not be met by another."""
    rows = opened.tables.read("scores_lead_qualification").to_pylist()
    counted = pc.value_counts(pa.array([row["account"] for row in rows])).to_pylist()
    alone = {each["values"] for each in counted if each["counts"] == 1}
    return iter([row for row in rows if row["account"] in alone])


def _asked(row: Row, **more: Any) -> dict[str, Any]:
    return {"lead": row["entity"], "as_of": row["time"].isoformat(), **SLOW, **more}


def _about(row: Row, **more: Any) -> Question:
    return Question(kind="lead", key=row["entity"], as_of=row["time"], **more)


def _event(name: str, text: str | None = "all", **data: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    said = {"time": now.isoformat(), "type": f"funnelcast.consent.{name}"}
    id = f"{name}-{now.timestamp()}"
    return {
        "specversion": "1.0",
        "id": id,
        "source": "portal",
        **said,
        "data": data | {"text": text},
    }


def _post(client: httpx.Client, *events: dict[str, Any]) -> None:
    answer = client.post("/v1/events", content=json.dumps(events), headers={"content-type": CLOUD})
    assert answer.json()["accepted"] == len(events), answer.text


def _candidates(*said: dict[str, Any]) -> pa.Table:
    now = datetime.now(UTC)
    rows = [
        {"source": "portal", "row_key": f"portal {n} {now.timestamp()}", "kind": "consent",
         "event_time": now, "known_at": now, **each}
        for n, each in enumerate(said)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=log.CANDIDATE)


def _person(workspace: Workspace, lead: str) -> str:
    events = workspace.tables.read(log.TABLE, columns=["lead", "person"])
    mine = events.filter(pc.equal(events["lead"], lead))["person"].drop_null()
    found: str = mine[0].as_py()
    return found


def _within(is_so: Callable[[], bool], seconds: float = WITHIN_S) -> float:
    """Return after how long something was so; it must be in time."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds + 2.0, "it never was so"
        time.sleep(0.01)
    return time.monotonic() - began


def _refused(service: DecisionService, row: Row) -> bool:
    return isinstance(service.decide(_about(row), deadline_ms=LONG_MS), questions.Withdrawn)


# -- one lead over HTTP ----------------------------------------------------------------------------


def test_a_withdrawal_stops_the_score_and_a_grant_lifts_that(
    client: httpx.Client, service: DecisionService, leads: Iterator[Row]
) -> None:
    """One problem with a type of its own, on record without a feature, counted, also of the past
    and in batches.
    """
    row, other = next(leads), next(leads)
    assert client.post("/v1/decisions", json=_asked(row)).status_code == 200
    _post(client, _event("withdrawn", lead=row["entity"]))
    time.sleep(WITHIN_S)
    answer = client.post("/v1/decisions", json=_asked(row))
    assert (answer.status_code, answer.json()["type"]) == (403, URN)
    assert "route" not in answer.text
    batch = client.post("/v1/decisions:batch", json={"decisions": [_asked(row), _asked(other)]})
    assert [each["status"] for each in batch.json()["decisions"]] == [403, 200]
    assert batch.json()["decisions"][0]["problem"]["type"] == URN
    [first, second] = service.workspace.journal.entries(record.REFUSED)
    assert first.body["key"] == second.body["key"] == row["entity"]
    assert first.body["word"]["name"] == "withdrawn"
    assert not {"features", "probability", "margin", "verdict", "reasons"} & first.body.keys()
    metrics = client.get("/metrics").text
    assert re.search(r'funnelcast_refusals_total{reason="withdrawn",[^}]*} 2(\.0)?\n', metrics)
    _post(client, _event("granted", lead=row["entity"]))
    time.sleep(WITHIN_S)
    assert client.post("/v1/decisions", json=_asked(row)).status_code == 200


def test_a_refusal_spends_no_key_and_a_decision_under_it_is_not_given_back(
    client: httpx.Client, leads: Iterator[Row]
) -> None:
    """Nobody is given an old score by asking with the key of then; GET still shows it."""
    row, key = next(leads), {"idempotency-key": "before"}
    made = client.post("/v1/decisions", json=_asked(row), headers=key).json()
    _post(client, _event("withdrawn", "profiling", lead=row["entity"]))
    time.sleep(WITHIN_S)
    assert client.post("/v1/decisions", json=_asked(row), headers=key).status_code == 403
    later = {"idempotency-key": "after"}
    assert client.post("/v1/decisions", json=_asked(row), headers=later).status_code == 403
    assert client.get(f"/v1/decisions/{made['id']}").json()["score"] == made["score"]
    assert client.get(f"/v1/decisions/{made['id']}/replay").json()["equal"] is True
    assert client.get(f"/v1/decisions/{made['id']}/explanation").status_code == 200
    _post(client, _event("granted", None, lead=row["entity"]))
    time.sleep(WITHIN_S)
    assert client.post("/v1/decisions", json=_asked(row), headers=later).status_code == 200


@pytest.mark.parametrize("said", ["objection to calls", "mail"])
def test_other_purposes_stop_nothing(
    client: httpx.Client, service: DecisionService, leads: Iterator[Row], said: str
) -> None:
    row = next(leads)
    text = {"mail": "email_marketing", "objection to calls": "phone_marketing"}[said]
    _post(client, _event("withdrawn", text, lead=row["entity"]))
    service.keeper.look()
    assert client.post("/v1/decisions", json=_asked(row)).status_code == 200


def test_events_of_the_request_count_but_lift_nothing(
    service: DecisionService, opened: Workspace, leads: Iterator[Row]
) -> None:
    row, other = next(leads), next(leads)
    before = row["time"] - timedelta(hours=1)
    said = {"kind": "consent", "name": "withdrawn", "text": "profiling", "event_time": before}
    own = _about(row, events=({**said, "lead": row["entity"]},))
    assert isinstance(service.decide(own, deadline_ms=LONG_MS), questions.Withdrawn)
    elsewhere = _about(row, events=({**said, "lead": other["entity"]},))
    assert isinstance(service.decide(elsewhere, deadline_ms=LONG_MS), Answered)
    with_person = _about(row, events=({**said, "person": _person(opened, row["entity"])},))
    assert isinstance(service.decide(with_person, deadline_ms=LONG_MS), questions.Withdrawn)
    _ingest(opened, {"name": "withdrawn", "text": "all", "lead": other["entity"]})
    service.keeper.look()
    grant = {**said, "name": "granted", "lead": other["entity"], "event_time": before}
    lifted = _about(other, events=(grant,))
    assert isinstance(service.decide(lifted, deadline_ms=LONG_MS), questions.Withdrawn)


# -- from any process, within a second -------------------------------------------------------------


def _ingest(workspace: Workspace, said: dict[str, Any]) -> None:
    ingest.ingest(workspace, load_contracts(CONFIGS / "contracts"), _candidates(said))


def _committed_alone(workspace: Workspace, said: dict[str, Any]) -> None:
    """As an ingestion that is killed before the online store hears of its commit."""
    workspace.tables.append(log.TABLE, log.identified(_candidates(said)))


def _arrived(workspace: Workspace, said: dict[str, Any]) -> None:
    """As another replica takes it in."""
    other = DecisionService(workspace, {})
    data = {name: value for name, value in said.items() if name != "name"}
    other.arrive(json.dumps([_event(said["name"], **data)]).encode(), is_batch=True)
    other.close()


WAYS = {"ingested": _ingest, "committed": _committed_alone, "arrived": _arrived}


# a sender names a person by address: that is the next test
SAID = [*((way, "lead") for way in WAYS), ("ingested", "person"), ("committed", "person")]


@pytest.mark.parametrize(("way", "who"), SAID)
def test_a_word_holds_within_a_second_whoever_took_it_in(
    service: DecisionService, leads: Iterator[Row], way: str, who: str
) -> None:
    """Through a workspace of its own; the person's word names neither lead nor account."""
    row = next(leads)
    named = row["entity"] if who == "lead" else _person(service.workspace, row["entity"])
    with Workspace.open(service.workspace.settings) as elsewhere:
        WAYS[way](elsewhere, {"name": "withdrawn", "text": "profiling", who: named})
        spent = _within(lambda: _refused(service, row))
    assert spent < WITHIN_S


@pytest.mark.parametrize("way", mostly(WAYS))
def test_on_postgresql_too_a_word_is_heard(
    settings: Settings, postgresql_url: str, way: str
) -> None:
    """By a keeper over a workspace of its own."""
    placed = settings.model_copy(update={"database_url": SecretStr(postgresql_url)})
    with Workspace.open(placed) as one, Workspace.open(placed) as other:
        log.create(one.tables, one.settings.buckets)
        listening = Keeper(one)
        listening.start()
        assert listening.current().of_lead("lead-1") is None
        WAYS[way](other, {"name": "withdrawn", "text": "profiling", "lead": "lead-1"})
        spent = _within(lambda: listening.current().of_lead("lead-1") is not None)
        listening.close()
    assert spent < WITHIN_S


def test_a_person_known_by_address_alone_is_met_in_the_tail(
    client: httpx.Client, service: DecisionService, leads: Iterator[Row]
) -> None:
    """Of lead and person the log knows nothing yet: both came as events, each by itself."""
    mail, now = "Somebody.Else@mail.example", datetime.now(UTC)
    visit = _event("x", lead="lead-of-the-tail", account=next(leads)["account"], person=mail)
    visit |= {"type": "funnelcast.lead.created", "time": (now - timedelta(days=1)).isoformat()}
    _post(client, visit | {"data": visit["data"] | {"text": None}})
    asked = {"lead": "lead-of-the-tail", **SLOW}
    assert client.post("/v1/decisions", json=asked).status_code == 200
    _post(client, _event("withdrawn", person=mail))
    time.sleep(WITHIN_S)
    assert client.post("/v1/decisions", json=asked).status_code == 403
    compaction.fold(service.workspace)
    assert arrived.since(service.workspace.database, 0)[0] == []
    service.keeper.look()
    assert client.post("/v1/decisions", json=asked).status_code == 403
    anew = Keeper(service.workspace).look()
    assert anew.of_lead("lead-of-the-tail") is not None


def test_a_keeper_that_cannot_look_refuses(
    service: DecisionService, leads: Iterator[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 rather than a score that may be forbidden, by whatever path; then it goes on."""
    row = next(leads)

    def broken(*_: Any) -> Any:
        raise OSError("gone")

    monkeypatch.setattr(arrived, "since", broken)
    time.sleep(keeper.OLDEST_S + 0.1)
    found = service.decide(_about(row), deadline_ms=LONG_MS)
    assert isinstance(found, questions.Unchecked)
    monkeypatch.undo()
    assert isinstance(service.decide(_about(row), deadline_ms=LONG_MS), Answered)


@pytest.mark.parametrize("mutant", mostly(["nobody asks", "no thread and no age", "only the log"]))
def test_without_a_defence_the_score_is_given(
    opened: Workspace, leads: Iterator[Row], monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    """Mutants: a ledger read once, a gatherer that does not ask it, arrivals that are not read."""
    if mutant == "no thread and no age":
        monkeypatch.setattr(Keeper, "_try", lambda self: None)
        monkeypatch.setattr(keeper, "OLDEST_S", 1e9)
    if mutant == "nobody asks":
        monkeypatch.setattr(
            gather.Gatherer, "_allowed", lambda *given: gather.consent.Allowed(cases=given[-1])
        )
    if mutant == "only the log":
        monkeypatch.setattr(arrived, "since", lambda database, number: ([], number))
    row, made = next(leads), DecisionService(opened, ANSWERS)
    _arrived(opened, {"name": "withdrawn", "text": "all", "lead": row["entity"]})
    time.sleep(WITHIN_S)
    assert isinstance(made.decide(_about(row), deadline_ms=LONG_MS), Answered)
    made.close()
    monkeypatch.undo()
    whole = DecisionService(opened, ANSWERS)
    assert _refused(whole, row)
    whole.close()


# -- before the features are there -----------------------------------------------------------------


def test_the_rules_say_nothing_of_who_forbade_it_either(
    service: DecisionService, leads: Iterator[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store does not answer in time: others are answered by the rules, those are not."""
    row, other = next(leads), next(leads)
    _ingest(service.workspace, {"name": "withdrawn", "lead": row["entity"]})
    service.keeper.look()
    free = threading.Event()
    find = gather.Gatherer.find
    monkeypatch.setattr(gather.Gatherer, "find", lambda *given: (free.wait(9), find(*given))[1])
    made = service.decide(_about(other), deadline_ms=600)
    assert isinstance(made, Answered), str(made)
    assert made.body["fallback"]["cause"] == "deadline"
    assert isinstance(service.decide(_about(row), deadline_ms=600), questions.Withdrawn)
    nobody = Question(kind="lead", key="never-seen")
    assert isinstance(service.decide(nobody, deadline_ms=600), questions.Unchecked)
    free.set()


# -- accounts, lists, scores -----------------------------------------------------------------------


def test_an_account_is_answered_by_its_other_leads(
    service: DecisionService, opened: Workspace
) -> None:
    """The record says who was left out, so it can be made again; with nobody left it is refused."""
    rows = opened.tables.read("scores_lead_qualification")
    counted = pc.value_counts(rows["account"].combine_chunks()).to_pylist()
    account = next(each["values"] for each in counted if each["counts"] == 2)
    at = rows["time"][0].as_py()
    asked = Question(kind="account", key=account, as_of=at)
    first = service.decide(asked, deadline_ms=LONG_MS)
    assert isinstance(first, Answered), str(first)
    _ingest(opened, {"name": "withdrawn", "lead": first.body["entity"]})
    service.keeper.look()
    second = service.decide(asked, deadline_ms=LONG_MS)
    assert isinstance(second, Answered), str(second)
    assert second.body["entity"] != first.body["entity"]
    assert second.body["withheld"] == [first.body["entity"]]
    assert "withheld" not in first.body
    for made in (first, second):
        again = service.replayed(made.body)
        assert again.is_equal, (again.differs, again.gone)
    _ingest(opened, {"name": "withdrawn", "lead": second.body["entity"]})
    service.keeper.look()
    third = service.decide(asked, deadline_ms=LONG_MS)
    assert isinstance(third, questions.Withdrawn)
    assert set(third.withheld) == {first.body["entity"], second.body["entity"]}


def test_lists_and_scores_do_not_show_them(
    client: httpx.Client, opened: Workspace, leads: Iterator[Row]
) -> None:
    """Within a second, not with the next scoring."""
    row = next(leads)
    asked = {"list": "high_intent", "limit": 1000}

    def shown() -> tuple[bool, bool]:
        listed = client.get("/v1/accounts", params=asked).json()["accounts"]
        scores = client.get(f"/v1/accounts/{row['account']}/scores").json()["targets"]
        is_listed = row["entity"] in {each["entity"] for each in listed}
        return is_listed, row["entity"] in json.dumps(scores)

    assert shown() == (True, True)
    _ingest(opened, {"name": "withdrawn", "text": "profiling", "lead": row["entity"]})
    time.sleep(WITHIN_S)
    assert shown() == (False, False)


# -- the ledger ------------------------------------------------------------------------------------

NAMES = ("granted", "withdrawn", "expired", "confirmed")
PURPOSES = ("all", "profiling", "analytics")
LEADS = ("l1", "l2", "l3")
_SAID = st.tuples(
    st.integers(0, 5), st.integers(0, 9), st.integers(0, 9), st.sampled_from(NAMES),
    st.sampled_from(PURPOSES), st.sampled_from([None, "p1", "p2"]),
    st.sampled_from([None, "l1", "l2"]),
)  # fmt: skip
_PAIRS = st.lists(st.tuples(st.sampled_from(["l1", "l2", "l3"]), st.sampled_from(["p1", "p2"])))


def _oracle(said: list[Word], pairs: set[tuple[str, str]], lead: str, terms: Terms) -> bool:
    """Say by the definition whether a lead may not be scored."""
    latest: dict[int, Word] = {}
    for word in sorted(said, key=lambda w: (w.known_at, w.content)):
        latest[word.row] = word
    pairs = pairs | {(w.lead, w.person) for w in said if w.lead and w.person}
    persons = {p for each, p in pairs if each == lead and any(w.person == p for w in said)}
    own = [w for w in latest.values() if w.person is None and w.lead == lead]

    def forbids(found: list[Word]) -> bool:
        counted = [w for w in found if terms.counts(w.name, w.purpose)]
        newest = max(counted, default=None, key=lambda w: (
            w.event_time, w.name in terms.stops, w.known_at, w.content))  # fmt: skip
        return newest is not None and newest.name in terms.stops

    theirs = [[w for w in latest.values() if w.person == p] + own for p in persons]
    return any(map(forbids, theirs or [own]))


@tried(deadline=None)
@given(st.lists(_SAID, max_size=12), _PAIRS, st.integers(1, 4))
def test_the_ledger_is_what_its_definition_says(
    said: list[tuple[Any, ...]], pairs: list[tuple[str, str]], parts: int
) -> None:
    """In whatever order and parts words and pairs come in."""
    terms = Terms()
    found = [
        Word(row=row, content=n, known_at=known, event_time=when, name=name, purpose=purpose,
             person=person, lead=lead)
        for n, (row, known, when, name, purpose, person, lead) in enumerate(said)
        if person or lead
    ]  # fmt: skip
    marks = np.array([[words.mark(lead), words.mark(p)] for lead, p in pairs], np.uint64)
    ledger = Ledger(terms)
    for part in range(parts):
        ledger.add(found[part::parts], marks.reshape(-1, 2)[part::parts])
    for lead in LEADS:
        wanted = _oracle(found, set(pairs), lead, terms)
        assert (ledger.of_lead(lead) is not None) == wanted
        assert ledger.are_refused(pa.array([lead])).tolist() == [wanted]
    assert len(ledger) == sum(_oracle(found, set(pairs), each, terms) for each in LEADS)


def test_a_correction_replaces_what_was_said(workspace: Workspace) -> None:
    """The version known latest counts; read from the log as it is appended to."""
    log.create(workspace.tables, 2)
    held = Keeper(workspace)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for later, name in enumerate(("withdrawn", "granted")):
        row = {"row_key": "r", "source": "s", "kind": "consent", "name": name, "lead": "l",
               "event_time": now, "known_at": now + timedelta(days=later)}  # fmt: skip
        rows = pa.Table.from_pylist([row], schema=log.CANDIDATE)
        workspace.tables.append(log.TABLE, log.identified(rows))
        assert (held.look().of_lead("l") is not None) == (name == "withdrawn")


def test_the_log_is_read_once_and_then_what_is_new(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at a log that did not change reads no file, and a new commit one."""
    log.create(workspace.tables, 1)
    held, read = Keeper(workspace), []
    monkeypatch.setattr(Keeper, "_read", lambda self, file: read.append(file.file_path))
    for count in (1, 2, 3):
        workspace.tables.append(
            log.TABLE, log.identified(_candidates({"name": "withdrawn", "lead": f"l{count}"}))
        )
        for _ in range(3):
            held.look()
        assert len(read) == len(set(read)) == count


def test_purposes_are_configuration(tmp_path: Path) -> None:
    """The document in force, another one, and a wrong one."""
    assert consent.load_terms() == Terms()
    (tmp_path / "terms.yaml").write_text("purposes: [analytics]\n")
    other = consent.load_terms(tmp_path / "terms.yaml")
    assert (other.counts("withdrawn", "analytics"), other.counts("withdrawn", None)) == (
        True,
        False,
    )
    (tmp_path / "terms.yaml").write_text("purpose: [analytics]\n")
    with pytest.raises(WrongUse, match="purposes"):
        consent.load_terms(tmp_path / "terms.yaml")


def test_fingerprints_are_those_of_columns() -> None:
    """One text alone and in a column: a ledger that differs would refuse nobody."""
    assert words.mark("lead-1") == int(fingerprint.of_cells(pa.array(["lead-1"]))[0])
