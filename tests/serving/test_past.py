"""The events that a decision saw, told apart from those that came later but were known earlier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from cluster.errors import Refusal
from cluster.workspace import Workspace
from features import log
from features.online import tail
from serving.answer import past, record
from serving.answer.questions import Question
from serving.answer.service import DecisionService
from serving.answer.ticket import Answered
from serving.api.application import make_application
from serving.slots.slot import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings

HERE = "http://127.0.0.1"
LEAD = Answer(target="lead_qualification", policy="lead_routing")


@pytest.fixture
def service(copied: Callable[[Path], Settings], tmp_path: Path) -> Iterator[DecisionService]:
    """Return a service over a copy of the small world."""
    with Workspace.open(copied(tmp_path / "home")) as workspace:
        made = DecisionService(workspace, {"lead": LEAD})
        yield made
        made.close()


def _decided(service: DecisionService) -> tuple[dict[str, Any], dict[str, Any]]:
    rows = service.workspace.tables.read("scores_lead_qualification").to_pylist()
    row: dict[str, Any] = next(each for each in rows if each["account"])
    asked = Question(kind="lead", key=row["entity"], as_of=row["time"])
    outcome = service.decide(asked, deadline_ms=10_000)
    assert isinstance(outcome, Answered)
    return row, outcome.body


def _late(service: DecisionService, row: dict[str, Any], count: int, ingest: str) -> None:
    """Put events into the online store that claim to have been known before the decision."""
    at = row["time"] - timedelta(hours=2)
    said = [
        {
            "source": "late", "row_key": f"{ingest}-{n}", "kind": "touch", "name": "pricing_visit",
            "event_time": at + timedelta(seconds=n), "known_at": at + timedelta(minutes=n),
            "lead": row["entity"], "account": row["account"],
        }
        for n in range(count)
    ]  # fmt: skip
    events = log.identified(pa.Table.from_pylist(said, schema=log.CANDIDATE))
    place = events.schema.get_field_index("ingest")
    named = pa.array([ingest] * count, pa.string())
    tail.fill(service.workspace.database, events.set_column(place, "ingest", named))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_what_came_since_is_left_out(service: DecisionService, count: int) -> None:
    """One or two by their ids, more by where they came from: the same record to the byte."""
    row, body = _decided(service)
    _late(service, row, count, "late export")
    again = service.replayed(body)
    assert again.is_equal, (again.differs, again.gone)


def test_several_exports_that_came_since_are_left_out(service: DecisionService) -> None:
    """Whatever their order."""
    row, body = _decided(service)
    _late(service, row, 3, "one export")
    _late(service, row, 5, "another export")
    assert service.replayed(body).is_equal


def test_without_the_digest_another_decision_would_come_out(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: everything that is there by now is taken."""
    row, body = _decided(service)
    _late(service, row, 2, "late export")
    monkeypatch.setattr(past, "_seen", lambda store, seen, at: store.history(seen.shard))
    assert "features" in service.replayed(body).differs


def test_an_event_that_is_gone_is_said(service: DecisionService) -> None:
    """Not guessed around."""
    _, body = _decided(service)
    body["seen"]["count"] += 1
    found = service.history(body)
    assert isinstance(found, Refusal)
    assert "that the decision saw must be there" in str(found)
    assert service.replayed(body).gone


@pytest.mark.parametrize("found", [None, 1, 3])
def test_a_record_of_another_format_is_gone(service: DecisionService, found: int | None) -> None:
    """The first format did not say which it was; over HTTP it is an answer, and no error."""
    row, body = _decided(service)
    id = f"format-{found}"
    names = ("entity", "account", "time", "probability", "low", "high", "verdict", "reasons",
             "basis", "decided_at")  # fmt: skip
    old = {"id": id, **{name: body[name] for name in names}}
    old |= {} if found is None else {"format": found}
    service.workspace.journal.record(record.KIND, old, id=id, now=row["time"])
    said = f"a record must be of format 2, got {found or 1}: "
    history = service.history(old)
    assert isinstance(history, Refusal)
    assert str(history).startswith(said)
    with TestClient(
        make_application(service), base_url=HERE, raise_server_exceptions=False
    ) as http:
        answer = http.get(f"/v1/decisions/{id}/replay")
        assert http.get(f"/v1/decisions/{id}").status_code == 200
    assert answer.status_code == 200
    told = answer.json()
    assert (told["id"], told["equal"], told["decision"]) == (id, False, None)
    assert [each.startswith(said) for each in told["gone"]] == [True]


def test_without_the_look_at_its_format_a_record_is_an_error(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: the record is read as if it were one of today."""
    _, body = _decided(service)
    monkeypatch.setattr(past, "read", record.Recorded.read)
    with pytest.raises(ValueError, match="must be of format 2, got 1"):
        service.replayed({**body, "format": 1})


def test_events_of_the_request_are_part_of_the_record(service: DecisionService) -> None:
    """And of its replay."""
    row, _ = _decided(service)
    visit = {
        "kind": "touch", "name": "pricing_visit", "lead": row["entity"],
        "account": row["account"], "event_time": row["time"] - timedelta(hours=1),
    }  # fmt: skip
    asked = Question(kind="lead", key=row["entity"], as_of=row["time"], events=(visit,))
    outcome = service.decide(asked, deadline_ms=10_000)
    assert isinstance(outcome, Answered)
    assert outcome.body["events"][0]["name"] == "pricing_visit"
    assert service.replayed(outcome.body).is_equal
