"""Accounts: how their scores went and why, and in which order they are to be looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from cluster.errors import Refusal, WrongUse
from cluster.settings import Settings
from cluster.workspace import Workspace
from features import online
from features.consent import Keeper
from serving import batch
from serving.api import problems, reading
from serving.reading import accounts, cursor
from serving.reading.accounts import Accounts
from serving.reading.cursor import Cursor, CursorBroken, CursorGone
from serving.reading.kept import Kept
from serving.reading.priority import Page, Priority
from serving.reading.ranking import ranking
from serving.reading.texts import BLOCK, Texts
from serving.slots.active import Slots
from serving.wire.accounts import AccountScoresOut
from tests.jobs import scoring as shared
from tests.jobs.scoring import NAME, NOW, THEN, Company
from tests.serving.letting import letting

if TYPE_CHECKING:
    from serving.reading.priority import Ranked

LATER = NOW + timedelta(hours=6)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Return a company that was scored as of THEN, and again as of NOW."""
    folder = tmp_path_factory.mktemp("accounts")
    with Workspace.open(Settings(home=folder / "home", buckets=4)) as workspace:
        made = shared.company(workspace, folder)
        made.append(shared.known(THEN))
        made.train(made.look(THEN))
        made.score()
        made.append(shared.known(NOW, THEN))
        made.look(NOW)
        made.score()
        yield made


@pytest.fixture(scope="module")
def client(company: Company) -> Iterator[TestClient]:
    """Return a client of the routes."""
    workspace = company.workspace
    service = SimpleNamespace(
        workspace=workspace,
        store=online.OnlineStore(workspace),
        keeper=Keeper(workspace),
        slots=Slots(),
        recorded=lambda *_: None,
    )
    app = FastAPI()
    problems.add_handlers(app)
    app.include_router(reading.router(service))
    with TestClient(letting(app)) as made:
        yield made


@pytest.fixture
def scores(company: Company) -> list[dict[str, Any]]:
    """Return the newest scores, the highest first."""
    rows = company.workspace.tables.read(company.target.scores_table).to_pylist()
    read = [{**row, "reasons": json.loads(row["reasons"])} for row in rows]
    return sorted(read, key=lambda row: (-row["probability"], row["entity"]))


def _moved(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the score that moved most of all that have an account."""
    known = [row for row in scores if row["account"] and row["change"] is not None]
    return max(known, key=lambda row: abs(row["change"]))


def test_the_course_is_that_of_the_snapshots(
    company: Company, client: TestClient, scores: list[dict[str, Any]]
) -> None:
    """Newest first, with what batch scoring said beside each score."""
    row = _moved(scores)
    answer = client.get(f"/v1/accounts/{row['account']}/scores")
    AccountScoresOut.model_validate_json(answer.content)
    said = answer.json()
    (mine,) = [each for each in said["targets"] if each["entity"] == row["entity"]]
    kept = batch.course(company.workspace, company.target, row["entity"]).iloc[::-1]
    assert [p["snapshot"] for p in mine["course"]] == [str(s) for s in kept["snapshot"]]
    assert [p["score"] for p in mine["course"]] == kept["probability"].tolist()
    newest = mine["course"][0]
    assert (newest["trend"], newest["change"], newest["previous"]) == (
        row["trend"],
        row["change"],
        row["previous"],
    )
    assert (said["account"], mine["target"]) == (row["account"], NAME)
    one = client.get(f"/v1/accounts/{row['account']}/scores?limit=1&target={NAME}").json()
    assert {len(each["course"]) for each in one["targets"]} == {1}
    quick = client.get(f"/v1/accounts/{row['account']}/scores?why=false").json()
    assert {each["why"] for each in quick["targets"]} == {None}


def test_every_entity_of_an_account_has_its_course(
    client: TestClient, scores: list[dict[str, Any]]
) -> None:
    """Those that are open first, the highest first."""
    of: dict[str, list[dict[str, Any]]] = {}
    for row in scores:
        of.setdefault(row["account"], []).append(row)
    account, rows = max(((a, r) for a, r in of.items() if a), key=lambda item: len(item[1]))
    assert len(rows) > 1
    said = client.get(f"/v1/accounts/{account}/scores").json()["targets"]
    newest = said[0]["course"][0]["snapshot"]
    is_open = [each["course"][0]["snapshot"] == newest for each in said]
    assert is_open == sorted(is_open, reverse=True)
    assert [e["entity"] for e, o in zip(said, is_open, strict=True) if o] == [
        row["entity"] for row in rows
    ]


def test_why_adds_up_to_the_change(client: TestClient, scores: list[dict[str, Any]]) -> None:
    """Each cause in words; nothing for one that was scored the first time."""
    row = _moved(scores)
    said = client.get(f"/v1/accounts/{row['account']}/scores").json()["targets"]
    (mine,) = [each for each in said if each["entity"] == row["entity"]]
    why = mine["why"]
    assert [why["to"], why["from"]] == [point["snapshot"] for point in mine["course"]]
    assert sum(part["probability"] for part in why["parts"]) == pytest.approx(row["change"])
    assert any("the chance by" in part["text"] for part in why["parts"])
    assert why["parts"][0]["text"].startswith("late events: ")
    assert {e["why"] for e in said if e["course"][0]["change"] is None} <= {None}


def test_what_was_read_is_kept(
    company: Company, scores: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look, at any account, reads no file. Mutant: nothing is kept."""
    known, asked = Accounts(company.workspace), _moved(scores)["account"]
    reads: list[str] = []
    made = {name: getattr(accounts, name) for name in ("_rows", "_why")}
    for name, make in made.items():
        monkeypatch.setattr(
            accounts, name, lambda *given, n=name, m=make: (reads.append(n), m(*given))[1]
        )
    first = known.scores(asked)
    assert (known.scores(asked), sorted(reads)) == (first, ["_rows", "_rows", "_why"])
    known.scores("another")
    assert len(reads) == 3
    monkeypatch.setattr(Kept, "get", lambda self, key, make: make())
    assert (known.scores(asked), len(reads)) == (first, 6)


def _all(lists: Priority, limit: int) -> list[Ranked]:
    """Follow the cursors to the end."""
    found: list[Ranked] = []
    after = None
    while True:
        page = lists.page("high_intent", limit=limit, after=after)
        assert isinstance(page, Page)
        found += page.accounts
        after = page.next
        if after is None:
            return found


def _by_hand(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The order as docs/api.md says it, in plain Python."""
    ways = {"rising": 0, "falling": 2}

    def key(row: dict[str, Any]) -> tuple[float, int, float, str]:
        points = float(np.floor(row["probability"] * 100 + 0.5))
        return -points, ways.get(row["trend"], 1), -row["probability"], row["entity"]

    first: dict[str, dict[str, Any]] = {}
    for row in sorted(scores, key=key):
        first.setdefault(row["account"] or f"entity {row['entity']}", row)
    return list(first.values())


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_high_intent_is_in_the_order_told(
    company: Company, scores: list[dict[str, Any]], limit: int
) -> None:
    """Each account once, by its best lead, with the reasons kept with the score."""
    found, wanted = _all(Priority(company.workspace), limit), _by_hand(scores)
    assert [each.entity for each in found] == [row["entity"] for row in wanted]
    assert len(found) < len(scores)
    for each, row in zip(found, wanted, strict=True):
        assert list(each.why) == row["reasons"][:3]
        assert (each.account, each.score, each.route) == (
            row["account"],
            row["probability"],
            row["route"],
        )


def test_a_page_is_told_over_http(client: TestClient, scores: list[dict[str, Any]]) -> None:
    """With its time, its reasons and the way on; an empty list is no error."""
    said = client.get("/v1/accounts?order=priority&list=high_intent&limit=2").json()
    assert said["as_of"] == scores[0]["time"].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [len(each["why"]) for each in said["accounts"]] == [3, 3]
    assert said["accounts"][0]["target"] == NAME
    more = client.get(f"/v1/accounts?list=high_intent&limit=2&after={said['next']}").json()
    assert more["accounts"][0]["entity"] not in {each["entity"] for each in said["accounts"]}
    assert client.get("/v1/accounts?list=at_risk").json() == {
        "list": "at_risk",
        "as_of": None,
        "accounts": [],
        "next": None,
    }


def test_pages_fit_together_whatever_is_scored_meanwhile(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new snapshot of other scores comes between two pages. Mutant: a cursor that goes on in the
    newest scores.
    """
    lists = Priority(company.workspace)
    first = lists.page("high_intent", limit=5)
    assert isinstance(first, Page)
    wanted = [each.entity for each in _all(lists, 1000)]
    company.append(shared.known(LATER, NOW))
    company.train(company.look(LATER), seed=2)
    company.score()
    for anew in (lists, Priority(company.workspace)):
        second = anew.page("high_intent", limit=5, after=first.next)
        assert isinstance(second, Page)
        assert [e.entity for e in (*first.accounts, *second.accounts)] == wanted[:10]
    head = company.workspace.tables.head(company.target.scores_table)
    read = cursor.read

    def of_newest(name: str, text: str, whose: str) -> Cursor | Refusal:
        found = read(name, text)
        assert isinstance(found, Cursor) and head
        return Cursor(list=name, target=NAME, snapshot=head, place=found.place)

    monkeypatch.setattr(cursor, "read", of_newest)
    second = lists.page("high_intent", limit=5, after=first.next)
    assert isinstance(second, Page)
    assert [e.entity for e in (*first.accounts, *second.accounts)] != wanted[:10]


def test_a_cursor_says_when_its_scores_are_gone(company: Company, client: TestClient) -> None:
    """410, and how to go on."""
    gone = Cursor(list="high_intent", target=NAME, snapshot=7, place=5)
    assert isinstance(
        Priority(company.workspace).page("high_intent", after=gone.text()), CursorGone
    )
    answer = client.get(f"/v1/accounts?list=high_intent&after={gone.text()}")
    assert (answer.status_code, "leave `after` out" in answer.json()["detail"]) == (410, True)


WHOLE = Cursor(list="high_intent", target=NAME, snapshot=1, place=5).text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "é",
        WHOLE[:-2],
        WHOLE + "A",
        Cursor(list="at_risk", target=NAME, snapshot=1, place=5).text(),
        Cursor(list="high_intent", target="opportunity_win", snapshot=1, place=5).text(),
        Cursor(list="high_intent", target="nothing", snapshot=1, place=5).text(),
        Cursor(list="high_intent", target=NAME, snapshot=1, place=-5).text(),
        "bnVsbA",
        "WzEsMiwzLDRd",
    ],
)
def test_a_cursor_of_nothing_is_refused(company: Company, text: str) -> None:
    """Cut, lengthened, of another list, of a target that makes none."""
    found = Priority(company.workspace).page("high_intent", after=text)
    assert isinstance(found, CursorBroken)
    assert isinstance(Cursor.read(WHOLE), Cursor)


def _rows(*given: tuple[str, str | None, float, str | None, float | None]) -> pa.Table:
    names = ("entity", "account", "probability", "trend", "change")
    schema = pa.schema([batch.SCHEMA.field(name).with_nullable(True) for name in names])
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in given], schema)


def test_equals_are_told_apart_by_their_trend() -> None:
    """Equal are scores that one reads as the same percentage."""
    rows = _rows(
        ("a", "A", 0.404, "falling", -0.1),
        ("b", "B", 0.403, None, None),
        ("c", "C", 0.396, "rising", 0.1),
        ("d", "D", 0.41, "steady", 0.0),
        ("e", "D", 0.40, "rising", 0.1),
        ("f", None, 0.1, None, None),
        ("g", None, 0.1, None, None),
    )
    assert ranking(rows, falling=False).tolist() == [3, 2, 1, 0, 5, 6]


def test_of_chances_to_win_those_that_fall_are_at_risk() -> None:
    """The largest fall first; what does not fall is not there."""
    rows = _rows(
        ("a", "A", 0.4, "falling", -0.1),
        ("b", "B", 0.9, "falling", -0.3),
        ("c", "C", 0.1, "rising", 0.1),
        ("d", "A", 0.2, "falling", -0.2),
        ("e", "E", 0.2, None, None),
    )
    assert ranking(rows, falling=True).tolist() == [1, 3]


def test_deals_that_may_be_lost_come_before_chances_that_fall() -> None:
    """By what targets declare, not by their names."""
    lists = Priority(SimpleNamespace(tables=SimpleNamespace(names=lambda: _TABLES)))
    assert lists._candidates("at_risk", "opportunity_win") == [
        "opportunity_dropout",
        "opportunity_win",
    ]
    assert lists._candidates("high_intent", "mql_to_sql")[0] == "mql_to_sql"
    assert lists._candidates("high_intent", "")[0] == "lead_qualification"


_TABLES = [
    f"scores_{name}"
    for name in ("opportunity_win", "opportunity_dropout", "mql_to_sql", "lead_qualification")
]


def test_texts_come_out_as_they_went_in() -> None:
    """At any place, empty and wide ones too."""
    given = ["", "é" * 300, *(json.dumps({"n": n}) for n in range(3 * BLOCK)), ""]
    column = pa.chunked_array([given[:5], given[5:]])
    held = Texts.of([column, column.slice(0, 0), column])
    places = [0, 1, len(given) - 1, len(given), 2 * len(given) - 1, 77, 3, 77]
    assert held.take(places) == [(given * 2)[place] for place in places]
    assert held.take(range(2 * len(given))) == given * 2
    assert Texts.of([]).take([]) == []


def test_what_many_ask_for_is_made_once() -> None:
    """They wait for who makes it; an error reaches all, and the next one tries again."""
    kept: Kept[str, int] = Kept(10)
    made: list[int] = []
    go = Event()

    def make() -> int:
        go.wait(5)
        made.append(1)
        return 7

    with ThreadPoolExecutor(8) as threads:
        found = [threads.submit(kept.get, "a", make) for _ in range(8)]
        time.sleep(0.05)
        go.set()
        assert [each.result() for each in found] == [7] * 8
    assert made == [1]

    def fail() -> int:
        raise WrongUse("not now")

    with pytest.raises(WrongUse, match="not now"):
        kept.get("b", fail)
    assert (kept.get("b", lambda: 8), len(kept)) == (8, 2)


@pytest.mark.parametrize("is_mutant", [False, True])
def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch, is_mutant: bool) -> None:
    """By size, the one asked for longest ago goes first. Mutant: nothing ever goes."""
    if is_mutant:
        monkeypatch.setattr(Kept, "_shrink", lambda self: None)
    kept: Kept[int, int] = Kept(10, lambda size: size)
    for size in (4, 5, 1, 4, 3):
        kept.get(size, lambda size=size: size)
    assert (sorted(kept._found) == [1, 3, 4]) != is_mutant
    kept.get(50, lambda: 50)
    assert (sorted(kept._found) == [50]) != is_mutant
    with pytest.raises(WrongUse, match="must be 1 or more, got 0"):
        Kept(0)
