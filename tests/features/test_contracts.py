"""The contracts: they load, refuse every planted fault with its reason, and refuse no good row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import WrongUse
from cluster.settings import CONFIGS
from features import log
from features.contracts import check, load_contracts
from features.contracts.check import BY_KIND, COMMON

if TYPE_CHECKING:
    from pathlib import Path

CONTRACTS = load_contracts(CONFIGS / "contracts")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LEAD = {"lead": "l1"}
# kind, name, and what a row of this kind needs at the least
GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("lead", "created", LEAD),
    ("lead", "qualified", LEAD | {"opportunity": "o1", "account": "Acme Corp"}),
    ("lead", "disqualified", LEAD | {"text": "no budget"}),
    ("attribute", "employees", LEAD | {"number": 12}),
    ("attribute", "margin", {"opportunity": "o1", "number": -3}),
    ("attribute", "industry", {"account": "a1", "text": "retail"}),
    ("touch", "web_visit", LEAD | {"person": "p1", "number": 86_400}),
    ("touch", "email_sent", {"person": "p1"}),
    ("activity", "call", {"rep": "r1", "opportunity": "o1", "number": 0}),
    ("activity", "email", {"rep": "r1", "lead": "l1"}),
    ("usage", "session", {"account": "a1", "number": 60}),
    ("support", "ticket", {"account": "a1"}),
    ("objection", "price", {"opportunity": "o1"}),
    ("opportunity", "created", {"opportunity": "o1"}),
    ("stage", "proposal", {"opportunity": "o1"}),
    ("outcome", "won", LEAD),
    ("outcome", "lost", {"opportunity": "o1"}),
    ("intervention", "outreach", LEAD | {"text": "control", "number": 500_000}),
]
# family of rules, kind of the row, what is changed in it, and a part of the reason
FAULTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("complete", "lead", {"event_time": None}, "event_time is required: absent"),
    ("complete", "stage", {"known_at": None}, "known_at is required: absent"),
    ("complete", "usage", {"row_key": " "}, "row_key is required: ' '"),
    ("complete", "touch", {"source": None}, "source is required: absent"),
    ("complete", "touch", {"kind": None}, "kind is required: absent"),
    (
        "in_our_time",
        "outcome",
        {"event_time": NOON.replace(year=1989)},
        "event_time lies in the years 1990..2100: 1989-03-02",
    ),
    ("in_our_time", "lead", {"known_at": NOON.replace(year=2101)}, "known_at lies in the years"),
    ("of_known_kind", "touch", {"kind": "tuch"}, "has a contract: 'tuch' (did you mean 'touch'?)"),
    ("required", "lead", {"lead": None}, "lead is required: absent"),
    ("required", "stage", {"opportunity": None}, "opportunity is required: absent"),
    ("required", "activity", {"rep": None}, "rep is required: absent"),
    ("required", "usage", {"number": None}, "number is required: absent"),
    ("required", "intervention", {"text": None}, "text is required: absent"),
    ("required", "support", {"name": None}, "name is required: absent"),
    ("any_of", "touch", {"lead": None, "person": None}, "one of lead, account, person is required"),
    ("any_of", "attribute", {"number": None, "text": None}, "one of number, text is required"),
    ("any_of", "outcome", {"opportunity": None, "lead": None}, "one of opportunity, lead"),
    ("listed", "touch", {"name": "web_vist"}, "list: 'web_vist' (did you mean 'web_visit'?)"),
    ("listed", "stage", {"name": "Proposal"}, "list: 'Proposal' (did you mean 'proposal'?)"),
    ("listed", "intervention", {"text": "both"}, "text is on the list: 'both'"),
    ("in_range", "touch", {"number": -1}, "number is at least 0 seconds: -1"),
    ("in_range", "usage", {"number": 86_401}, "number is at most 86400 seconds: 86401"),
    ("in_range", "opportunity", {"number": -100}, "number is at least 0 cents: -100"),
    ("in_range", "intervention", {"number": 1_000_000}, "number is at most 999999 ppm"),
    ("matching", "attribute", {"name": "Industry Name"}, "name matches ^[a-z][a-z0-9_]*$"),
    ("matching", "touch", {"person": "jo@acme.com"}, "person matches ^[^@]+$: a private value"),
    ("of_length", "lead", {"lead": "x" * 201}, "lead has at most 200 letters: 'xxx"),
    ("of_length", "lead", {"account": ""}, "account has at least 1 letters: absent"),
]


def row(kind: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return one event as a dictionary."""
    common = {"row_key": "s:1", "source": "s", "event_time": NOON, "known_at": NOON}
    return dict.fromkeys(log.CANDIDATE.names) | common | {"kind": kind, "name": name} | values


def table(*rows: dict[str, Any]) -> pa.Table:
    """Return events as a table."""
    return pa.Table.from_pylist(list(rows), schema=log.CANDIDATE)


def broken(kind: str, change: dict[str, Any]) -> dict[str, Any]:
    """Return a good row of a kind with a change that breaks it."""
    return next(row(*good) for good in GOOD if good[0] == kind) | change


@pytest.mark.parametrize(("kind", "name", "values"), GOOD)
def test_a_row_with_the_least_that_its_kind_needs_is_good(
    kind: str, name: str, values: dict[str, Any]
) -> None:
    checked = check(CONTRACTS, table(row(kind, name, values)))
    assert checked.bad["reasons"].to_pylist() == []
    assert checked.good.num_rows == 1


@pytest.mark.parametrize(("family", "kind", "change", "reason"), FAULTS)
def test_a_planted_fault_is_refused_with_its_reason(
    family: str, kind: str, change: dict[str, Any], reason: str
) -> None:
    checked = check(CONTRACTS, table(broken(kind, change)))
    assert checked.good.num_rows == 0
    assert reason in checked.bad["reasons"][0].as_py()


@pytest.mark.parametrize(("family", "kind", "change", "reason"), FAULTS)
def test_without_its_family_of_rules_the_fault_would_pass(
    monkeypatch: pytest.MonkeyPatch, family: str, kind: str, change: dict[str, Any], reason: str
) -> None:
    monkeypatch.delitem(COMMON if family in COMMON else BY_KIND, family)
    assert check(CONTRACTS, table(broken(kind, change))).bad.num_rows == 0


def test_every_family_of_rules_has_a_planted_fault() -> None:
    assert {family for family, *_ in FAULTS} == COMMON.keys() | BY_KIND.keys()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.one_of(st.sampled_from(GOOD), st.sampled_from(FAULTS)), max_size=40))
def test_exactly_the_planted_rows_are_refused_and_no_row_is_lost(picks: list[Any]) -> None:
    rows = [row(*pick) if len(pick) == 3 else broken(*pick[1:3]) for pick in picks]
    rows = [values | {"source_row": place} for place, values in enumerate(rows)]
    checked = check(CONTRACTS, table(*rows))
    planted = [place for place, pick in enumerate(picks) if len(pick) == 4]
    assert checked.bad["source_row"].to_pylist() == planted
    assert checked.bad.drop_columns(["reasons"]).equals(table(*(rows[p] for p in planted)))
    assert checked.good.equals(table(*(r for r in rows if r["source_row"] not in planted)))


def test_a_row_that_breaks_several_rules_names_them_all() -> None:
    change = {"name": "web_vist", "number": -5, "event_time": None}
    reasons = check(CONTRACTS, table(broken("touch", change))).bad["reasons"][0].as_py()
    assert [reason.split(": ")[0] for reason in reasons.split("; ")] == [
        "event_time is required",
        "name is on the list",
        "number is at least 0 seconds",
    ]


def test_a_private_value_is_not_quoted() -> None:
    bad = check(CONTRACTS, table(broken("touch", {"person": "jo@acme.com"}))).bad
    assert "jo" not in bad["reasons"][0].as_py()


def test_a_reason_stays_short_however_long_the_value() -> None:
    bad = check(CONTRACTS, table(broken("stage", {"name": "x\n" * 50_000}))).bad
    assert len(bad["reasons"][0].as_py()) < 200
    assert "\n" not in bad["reasons"][0].as_py()


def test_a_table_without_a_needed_column_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="column 'opportunity'"):
        check(CONTRACTS, table(row(*GOOD[0])).drop_columns(["opportunity"]))


def test_the_contracts_speak_of_columns_of_the_envelope() -> None:
    assert set().union(*(c.columns for c in CONTRACTS.values())) <= set(log.CANDIDATE.names)


def test_every_contract_says_what_who_and_how_fresh() -> None:
    for kind, contract in CONTRACTS.items():
        assert contract.id.endswith(kind)
        assert contract.description.purpose
        assert contract.team.name
        assert contract.freshness.total_seconds() > 0


BAD_DOCUMENTS: list[tuple[tuple[Any, ...], Any, str]] = [
    (("staus",), "active", "unknown key 'staus': did you mean 'status'?"),
    (("status",), "live", "'status': Input should be"),
    (("schema", 0, "properties", 0, "requird"), True, "did you mean 'required'?"),
    (("schema", 0, "properties", 0, "logicalTypeOptions"), {"pattern": "["}, "missing ]"),
    (
        ("schema", 0, "properties", 0, "logicalTypeOptions"),
        {"minimum": 2, "maximum": 1},
        "minimum <= maximum must hold, got 2 > 1",
    ),
    (("schema", 0, "customProperties"), [{"property": "requireAll", "value": []}], "requireAnyOf"),
    (("slaProperties",), [], "slaProperties"),
]


@pytest.mark.parametrize(("place", "value", "message"), BAD_DOCUMENTS)
def test_a_wrong_document_is_one_line_that_names_file_and_key(
    tmp_path: Path, place: tuple[Any, ...], value: Any, message: str
) -> None:
    document = yaml.safe_load((CONFIGS / "contracts" / "stage.yaml").read_text())
    spot = document
    for step in place[:-1]:
        spot = spot[step]
    spot[place[-1]] = value
    (tmp_path / "stage.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(WrongUse) as refused:
        load_contracts(tmp_path)
    text = str(refused.value)
    assert str(tmp_path / "stage.yaml") in text
    assert message in text
    assert "\n" not in text


def test_a_second_contract_of_a_kind_is_refused(tmp_path: Path) -> None:
    text = (CONFIGS / "contracts" / "stage.yaml").read_text()
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(text)
    with pytest.raises(WrongUse, match=r"second one of 'stage': .*two\.yaml"):
        load_contracts(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="must hold"):
        load_contracts(tmp_path)
