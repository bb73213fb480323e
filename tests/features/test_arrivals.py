"""Arrivals below HTTP: the wire format, and many senders at once."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.settings import CONFIGS
from cluster.workspace import Workspace
from features import arrivals, compaction, log, online
from features.arrivals import Entrance, Malformed, Sent, pending
from features.contracts import load_contracts
from features.ingest import origin
from features.online import follower, tail

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

CONTRACTS = load_contracts(CONFIGS / "contracts")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
)


def _event(id: str = "1", **changes: Any) -> dict[str, Any]:
    said = {"type": "funnelcast.touch.web_visit", "time": "2026-02-01T10:30:00+01:00"}
    data = {"lead": "lead-1", "account": "a-1"}
    return {"specversion": "1.0", "id": id, "source": "/test", **said, "data": data, **changes}


def _read(*events: Any) -> list[Sent | Malformed]:
    read = arrivals.read(json.dumps(events).encode(), is_batch=True)
    assert isinstance(read, list)
    return read


def _entrance(workspace: Workspace) -> Entrance:
    return Entrance(workspace, online.OnlineStore(workspace), CONTRACTS)


def test_an_envelope_is_read_as_it_stands() -> None:
    """Kind and name from the type, the time with its zone, extensions let pass."""
    [sent] = _read(_event(traceparent="00-1", subject="x"))
    assert isinstance(sent, Sent)
    assert (sent.kind, sent.name, sent.row_key) == ("touch", "web_visit", "/test 1")
    assert sent.time == datetime(2026, 2, 1, 9, 30, tzinfo=UTC)


@given(JSON)
def test_any_json_is_read_and_no_value_of_it_is_told(said: Any) -> None:
    """What is no event says why, in words of ours."""
    [line] = _read({"secret-name": said}) if not isinstance(said, dict) else _read(said)
    assert isinstance(line, Malformed)
    assert "keeps the envelope" in line.reason
    assert "secret-name" not in line.reason


@given(st.binary(max_size=30))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing raises."""
    read = arrivals.read(body, is_batch=True)
    assert isinstance(read, list) or not read


def test_senders_at_once_add_every_event_once(workspace: Workspace) -> None:
    """Four of them send the same hundred events, in four workspaces, in other orders."""
    sent = _read(*(_event(str(n)) for n in range(100)))

    def work(n: int) -> Counter[str]:
        with Workspace.open(workspace.settings) as mine:
            entrance = _entrance(mine)
            turned = sent[25 * n :] + sent[: 25 * n]
            parts = [entrance.accept(turned[k : k + 10]) for k in range(0, 100, 10)]
            return Counter(outcome.status for part in parts for outcome in part)

    with ThreadPoolExecutor(4) as pool:
        counts = sum(pool.map(work, range(4)), Counter())
    assert counts == {"accepted": 100, "duplicate": 300}
    assert pending.waiting(workspace.database, 1000).events.num_rows == 100


@pytest.mark.parametrize("few", [follower.FEW, 0])
def test_an_event_that_was_folded_long_ago_is_a_duplicate(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Whether it is still in the tail or only in the base, and though its lead has moved since."""
    monkeypatch.setattr(follower, "FEW", few)
    entrance = _entrance(workspace)
    visit = _read(_event("visit", data={"lead": "lead-1"}))
    created = _read(_event("created", type="funnelcast.lead.created", time="2026-01-01T00:00:00Z"))
    for sent in (visit, created):
        assert [outcome.status for outcome in entrance.accept(sent)] == ["accepted"]
        compaction.fold(workspace)
        online.follow(workspace)
    assert tail.count(workspace.database) == (2 if few else 0)
    assert [outcome.status for outcome in entrance.accept(visit + created)] == ["duplicate"] * 2


def test_arrivals_that_wait_do_not_make_bases(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, make_events: Callable[..., pa.Table]
) -> None:
    """They cannot leave the tail before they are folded, so a base would not shorten it."""
    monkeypatch.setattr(follower, "TAIL_MOST", 20)
    _entrance(workspace).accept(_read(*(_event(str(n)) for n in range(50))))
    log.create(workspace.tables, workspace.settings.buckets)
    workspace.tables.append(log.TABLE, make_events({"at": 1}))
    online.follow(workspace)
    assert online.OnlineStore(workspace).base() is None
    compaction.fold(workspace)
    online.follow(workspace)
    assert online.OnlineStore(workspace).base() is not None
    assert tail.count(workspace.database) == 0


def test_every_arrival_leads_back_to_its_source_and_contracts(workspace: Workspace) -> None:
    """One document per source, whatever the number of requests."""
    later = Workspace.open(workspace.settings, clock=lambda: datetime.now(UTC) + timedelta(hours=1))
    with later:
        for place in (workspace, later):
            entrance = _entrance(place)
            entrance.accept(_read(_event(str(id(place))), _event("x", source="/other")))
    rows = pending.waiting(workspace.database, 10).events
    names = set(rows["ingest"].to_pylist())
    origins = [origin.read(workspace.blobs, name) for name in names]
    assert sorted(o.source for o in origins) == ["/other", "/test"]
    assert {(o.file, o.mapping) for o in origins} == {("POST /v1/events", "cloudevents-1.0")}
    assert all(set(o.contracts) == set(CONTRACTS) for o in origins)
