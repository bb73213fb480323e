"""The contracts: they load, refuse every planted fault with its reason, and refuse no good row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import WrongUse
from cluster.settings import CONFIGS
from features import log
from features.contracts import Broken, Rules, check, load_contracts, names, reasons
from features.contracts.batch import LONGEST_BATCH
from features.contracts.check import FAMILIES

if TYPE_CHECKING:
    from pathlib import Path

CONTRACTS = load_contracts(CONFIGS / "contracts")
RULES = Rules.of(CONTRACTS)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW = NOON + timedelta(days=1)
LEAD = {"lead": "l1"}
# kind, name, and what a row of this kind needs at the least
GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("lead", "created", LEAD),
    ("lead", "qualified", LEAD | {"opportunity": "o1", "account": "Acme Corp"}),
    ("lead", "disqualified", LEAD | {"text": "no budget"}),
    ("attribute", "employees", LEAD | {"number": 12}),
    ("attribute", "margin", {"opportunity": "o1", "number": -3}),
    ("attribute", "industry", {"account": "Müller & Söhne", "text": "retail"}),
    ("touch", "web_visit", LEAD | {"person": "p1", "number": 86_400}),
    ("touch", "email_replied", {"person": "p1", "number": 31_622_400}),
    ("touch", "email_sent", {"person": "p1"}),
    ("activity", "call", {"rep": "r1", "opportunity": "o1", "number": 0}),
    ("activity", "w_valideren_aanvraag", {"lead": "l1", "text": "completed"}),
    ("usage", "session", {"account": "a1", "number": 60}),
    ("support", "ticket", {"account": "a1"}),
    ("objection", "price", {"opportunity": "o1"}),
    ("opportunity", "created", {"opportunity": "o1"}),
    ("opportunity", "probability_changed", {"opportunity": "o1", "number": 250_000}),
    ("stage", "a_submitted", {"opportunity": "o1"}),
    ("outcome", "won", LEAD),
    ("outcome", "lost", {"opportunity": "o1", "text": "no decision,\nask again in May"}),
    ("intervention", "outreach", LEAD | {"text": "control", "number": 500_000}),
    ("intervention", "mens_email", {"person": "p1", "text": "mens", "number": 333_333}),
    ("account", "created", {"account": "a1"}),
    ("person", "joined", {"person": "p1", "account": "a1"}),
    ("campaign", "budget_set", {"campaign": "c1", "number": 100}),
    ("metric", "attributed_share", {"campaign": "c1", "number": 4, "text": "first_touch"}),
    ("consent", "granted", {"person": "p1", "text": "email_marketing"}),
    ("intent", "topic_surge", {"account": "a1", "text": "data quality"}),
    ("calendar", "held", {"opportunity": "o1", "rep": "r1", "number": 1800}),
    ("calendar", "scheduled", {"opportunity": "o1", "event_time": NOON + timedelta(days=9)}),
]
# family of rules, kind of the row, what is changed in it, and a part of the reason
FAULTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("complete", "lead", {"event_time": None}, "event_time is required: absent"),
    ("complete", "stage", {"known_at": None}, "known_at is required: absent"),
    ("complete", "usage", {"row_key": ""}, "row_key is required: absent"),
    ("complete", "touch", {"source": None}, "source is required: absent"),
    ("complete", "touch", {"kind": None}, "kind is required: absent"),
    (
        "in_our_time",
        "outcome",
        {"event_time": NOON.replace(year=1989)},
        "event_time lies in the years 1990..2100: a time in 1989",
    ),
    ("in_order", "lead", {"known_at": NOON.replace(hour=11)}, "known_at is not before event_time"),
    (
        "not_ahead",
        "lead",
        {"event_time": NOON.replace(year=2027), "known_at": NOON.replace(year=2027)},
        "event_time is not in the future: a time in 2027",
    ),
    ("of_known_kind", "touch", {"kind": "tuch"}, "has a contract: 'tuch' (did you mean 'touch'?)"),
    ("well_formed", "lead", {"lead": "l1\x00"}, "no outer blank: a value of 3 letters like 'a9?'"),
    ("well_formed", "lead", {"account": " Acme"}, "account has readable characters and no outer"),
    ("well_formed", "lead", {"account": "Acme\u00a0"}, "account has readable characters"),
    ("well_formed", "lead", {"account": "M\ufffdller"}, "account has readable characters"),
    ("well_formed", "lead", {"row_key": "\ufeffs:1"}, "row_key has readable characters"),
    ("well_formed", "lead", {"text": "  "}, "text has readable characters"),
    ("well_formed", "lead", {"text": "no\x07budget"}, "text has readable characters"),
    ("not_identifying", "touch", {"person": "jo@acme.com"}, "person holds no e-mail in the clear"),
    ("not_identifying", "usage", {"row_key": "u:jo%40acme.com"}, "row_key holds no e-mail"),
    ("not_identifying", "stage", {"rep": "jo\uff20acme.com"}, "rep holds no e-mail"),
    ("not_identifying", "lead", {"text": "call 089 1234567"}, "text holds no phone in the clear"),
    ("not_identifying", "lead", {"text": "4111 1111 1111 1111"}, "text holds no card in the clear"),
    ("not_identifying", "lead", {"text": "DE89370400440532013000"}, "text holds no iban"),
    ("required", "lead", {"lead": None}, "lead is required: absent"),
    ("required", "campaign", {"campaign": None}, "campaign is required: absent"),
    ("required", "usage", {"number": None}, "number is required: absent"),
    ("required", "intervention", {"text": None}, "text is required: absent"),
    ("required", "support", {"name": None}, "name is required: absent"),
    ("any_of", "touch", {"lead": None, "person": None}, "one of lead, account, person is required"),
    ("any_of", "attribute", {"number": None, "text": None}, "one of number, text is required"),
    ("any_of", "outcome", {"opportunity": None, "lead": None}, "one of opportunity, lead"),
    ("declared", "lead", {"number": 12}, "number has no meaning in this kind and name: 12"),
    ("declared", "usage", {"name": "login"}, "number has no meaning in this kind and name: 60"),
    ("listed", "touch", {"name": "web_vist"}, "list: 'web_vist' (did you mean 'web_visit'?)"),
    ("listed", "intervention", {"text": "both"}, "'both' (valid are: treated, control)"),
    ("in_range", "touch", {"number": -1}, "number is at least 0 seconds: -1"),
    ("in_range", "usage", {"number": 86_401}, "number is at most 86400 seconds: 86401"),
    ("in_range", "opportunity", {"number": -100}, "number is at least 0 cents: -100"),
    ("in_range", "intervention", {"number": 10**6}, "at most 999999 ppm: a number of 7 digits"),
    ("matching", "attribute", {"name": "industry name"}, "name matches ^[a-z][a-z0-9_]{0,63}$"),
    ("of_length", "lead", {"lead": "x" * 201}, "lead has at most 200 letters: a value of 201"),
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
    checked = check(RULES, table(row(kind, name, values)), now=NOW)
    assert checked.bad["reasons"].to_pylist() == []
    assert checked.good.num_rows == 1


@pytest.mark.parametrize(("family", "kind", "change", "reason"), FAULTS)
def test_a_planted_fault_is_refused_with_its_reason(
    family: str, kind: str, change: dict[str, Any], reason: str
) -> None:
    checked = check(RULES, table(broken(kind, change)), now=NOW)
    assert checked.good.num_rows == 0
    assert reason in checked.bad["reasons"][0].as_py()


@pytest.mark.parametrize(("family", "kind", "change", "reason"), FAULTS)
def test_without_its_family_of_rules_the_fault_would_pass(
    monkeypatch: pytest.MonkeyPatch, family: str, kind: str, change: dict[str, Any], reason: str
) -> None:
    monkeypatch.delitem(FAMILIES, family)
    assert check(RULES, table(broken(kind, change)), now=NOW).bad.num_rows == 0


def test_every_family_of_rules_has_a_planted_fault() -> None:
    assert {family for family, *_ in FAULTS} == FAMILIES.keys()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.one_of(st.sampled_from(GOOD), st.sampled_from(FAULTS)), max_size=40))
def test_exactly_the_planted_rows_are_refused_and_no_row_is_lost(picks: list[Any]) -> None:
    rows = [row(*pick) if len(pick) == 3 else broken(*pick[1:3]) for pick in picks]
    rows = [values | {"source_row": place} for place, values in enumerate(rows)]
    checked = check(RULES, table(*rows), now=NOW)
    planted = [place for place, pick in enumerate(picks) if len(pick) == 4]
    assert checked.bad["source_row"].to_pylist() == planted
    assert checked.bad["row"].to_pylist() == planted
    assert checked.bad.drop_columns(["reasons", "row"]).equals(table(*(rows[p] for p in planted)))
    assert checked.good.equals(table(*(r for r in rows if r["source_row"] not in planted)))


def test_a_row_that_breaks_several_rules_names_them_all() -> None:
    change = {"name": "web_vist", "number": -5, "event_time": None}
    told = check(RULES, table(broken("touch", change))).bad["reasons"][0].as_py()
    assert [reason.split(": ")[0] for reason in told.split("; ")] == [
        "event_time is required",
        "name is on the list",
        "number is at least 0 seconds",
    ]


def test_where_all_rows_are_good_the_table_itself_comes_back() -> None:
    events = table(*(row(*good) for good in GOOD))
    assert check(CONTRACTS, events, now=NOW).good is events


def test_rows_are_found_in_every_batch_and_in_a_slice_of_a_table() -> None:
    rows = table(row("lead", "creatd", LEAD), *(row(*GOOD[0]) for _ in range(9)))
    place = np.arange(LONGEST_BATCH + 1000) % 10
    events = pa.concat_tables([rows.slice(3), rows.take(place).combine_chunks()]).slice(2)
    checked = check(RULES, events)
    expected = list(range(5, events.num_rows, 10))
    assert checked.bad["row"].to_pylist() == expected
    assert checked.good.num_rows == events.num_rows - len(expected)


def test_what_reading_found_is_told_first_and_its_cell_is_not_called_absent() -> None:
    events = table(row(*GOOD[0]), broken("usage", {"number": None, "kind": "usage"}))
    before = Broken(rows=np.array([1]), column="number", reasons=["number is an integer: 'x'"])
    checked = check(RULES, events, [before])
    assert checked.bad["reasons"].to_pylist() == ["number is an integer: 'x'"]
    without = check(RULES, events).bad["reasons"].to_pylist()
    assert without == ["number is required: absent"]


def test_a_cell_that_could_not_be_read_fills_its_group() -> None:
    events = table(broken("attribute", {"number": None, "text": None}))
    before = Broken(rows=np.array([0]), column="number", reasons=["number is an integer: 'x'"])
    told = check(RULES, events, [before]).bad["reasons"].to_pylist()
    assert told == ["number is an integer: 'x'"]


def test_a_row_broken_before_is_refused_though_it_keeps_every_rule() -> None:
    before = Broken(rows=np.array([0]), column="text", reasons=["text is UTF-8: bytes"])
    checked = check(RULES, table(row(*GOOD[0]), row(*GOOD[0])), [before])
    assert (checked.good.num_rows, checked.bad["row"].to_pylist()) == (1, [0])


def test_clocks_may_differ_by_minutes() -> None:
    a_bit = {"known_at": NOON - timedelta(minutes=4)}
    assert check(RULES, table(broken("lead", a_bit)), now=NOON).bad.num_rows == 0


def test_without_now_no_time_lies_ahead() -> None:
    later = {"event_time": NOON.replace(year=2027), "known_at": NOON.replace(year=2027)}
    assert check(RULES, table(broken("lead", later))).bad.num_rows == 0


SECRET = "Zebulon Quux zq@example.com 4155552671"
CANARIES = ["Zebulon Quux", "zq@example.com", "+1 415 555 2671", "4155552671", SECRET, "ZQ-1970"]


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("column", ["row_key", "kind", "name", "person", "account", "text"])
def test_no_reason_repeats_what_stood_in_the_wrong_place(column: str, canary: str) -> None:
    fault = {column: f" {canary}\x00"}
    reason = check(RULES, table(broken("stage", fault))).bad["reasons"][0].as_py()
    assert not any(word in reason for word in canary.split() if len(word) > 1)


def test_a_number_that_may_be_a_phone_is_told_by_its_digits() -> None:
    bad = check(RULES, table(broken("touch", {"number": 4155552671}))).bad
    assert bad["reasons"].to_pylist() == ["number is at most 86400 seconds: a number of 10 digits"]


def test_a_value_that_is_quoted_would_leak_if_shapes_were_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reasons, "shown", repr)
    bad = check(RULES, table(broken("touch", {"name": SECRET}))).bad
    assert SECRET in bad["reasons"][0].as_py()


def test_a_reason_does_not_depend_on_the_rows_beside_it() -> None:
    faults = [broken("touch", {"name": f"web_visi{n}"}) for n in range(500)]
    together = check(RULES, table(*faults)).bad["reasons"].to_pylist()
    alone = [check(RULES, table(fault)).bad["reasons"][0].as_py() for fault in faults[::100]]
    assert together[::100] == alone


def test_a_reason_stays_short_however_long_the_value() -> None:
    bad = check(RULES, table(broken("stage", {"name": "x\n" * 50_000}))).bad
    assert len(bad["reasons"][0].as_py()) < 400
    assert "\n" not in bad["reasons"][0].as_py()


def test_a_table_without_a_needed_column_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="column 'opportunity'"):
        check(RULES, table(row(*GOOD[0])).drop_columns(["opportunity"]))


def test_the_contracts_speak_of_columns_of_the_envelope() -> None:
    assert set().union(*(c.columns for c in CONTRACTS.values())) <= set(log.CANDIDATE.names)


def test_every_contract_says_what_who_and_how_fresh() -> None:
    for kind, contract in CONTRACTS.items():
        assert contract.id.endswith(kind)
        assert contract.description.purpose
        assert contract.team.name
        assert contract.freshness.total_seconds() > 0


def test_the_names_are_those_that_contracts_list() -> None:
    assert {"web_visit", "won", "granted"} <= names(CONTRACTS)


def test_a_property_that_singles_out_names_speaks_for_those_alone() -> None:
    touch = CONTRACTS["touch"]
    assert touch.promises("email_replied")["number"].name == "reply_time"
    assert touch.promises("web_visit")["number"].name == "number"


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
    (
        ("schema", 0, "properties", 1, "name"),
        "name",
        "one property must speak of 'name' in all other events",
    ),
    (
        ("schema", 0, "properties", 0, "customProperties"),
        [{"property": "appliesTo", "value": ["created"]}],
        "'name' must mean the same in all events",
    ),
    (
        ("schema", 0, "customProperties"),
        [{"property": "planned", "value": ["creatd"]}],
        "unknown name of an event 'creatd': did you mean 'created'?",
    ),
]


@pytest.mark.parametrize(("place", "value", "message"), BAD_DOCUMENTS)
def test_a_wrong_document_is_one_line_that_names_file_and_key(
    tmp_path: Path, place: tuple[Any, ...], value: Any, message: str
) -> None:
    document = yaml.safe_load((CONFIGS / "contracts" / "lead.yaml").read_text())
    spot = document
    for step in place[:-1]:
        spot = spot[step]
    spot[place[-1]] = value
    (tmp_path / "lead.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(WrongUse) as refused:
        load_contracts(tmp_path)
    text = str(refused.value)
    assert str(tmp_path / "lead.yaml") in text
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
