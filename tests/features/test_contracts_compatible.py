"""Which changes of a contract are breaking, and what a compatible one guarantees."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from features import log
from features.contracts import Contract, check, compatible

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NAME = {
    "name": "name",
    "logicalType": "string",
    "required": True,
    "classification": "public",
    "quality": [{"metric": "invalidValues", "arguments": {"validValues": ["a", "b"]}, "mustBe": 0}],
}
LEAD = {
    "name": "lead",
    "logicalType": "string",
    "classification": "confidential",
    "logicalTypeOptions": {"minLength": 1, "maxLength": 20},
}
NUMBER = {
    "name": "number",
    "logicalType": "integer",
    "classification": "internal",
    "logicalTypeOptions": {"minimum": 0, "maximum": 100},
    "customProperties": [{"property": "unit", "value": "cents"}],
}


def contract(*properties: dict[str, Any], version: str = "1.0.0", **more: Any) -> Contract:
    """Return a contract of kind `k`."""
    custom = [{"property": "requireAnyOf", "value": more["any_of"]}] if more.get("any_of") else []
    custom += [{"property": "planned", "value": more["planned"]}] if more.get("planned") else []
    return Contract.model_validate(
        {
            "apiVersion": "v3.1.0",
            "kind": "DataContract",
            "id": "k",
            "version": version,
            "status": "active",
            "description": {"purpose": more.get("purpose", "a test")},
            "team": {"name": "us"},
            "schema": [
                {
                    "name": "k",
                    "logicalType": "object",
                    "properties": properties,
                    "customProperties": custom,
                }
            ],
            "slaProperties": [
                {"property": "freshness", "value": more.get("hours", 24), "unit": "h"}
            ],
        }
    )


def listing(*values: str) -> dict[str, Any]:
    """Return a quality rule that lists values."""
    rule = {"metric": "invalidValues", "arguments": {"validValues": values}, "mustBe": 0}
    return {"quality": [rule]}


def limits(**options: Any) -> dict[str, Any]:
    """Return logicalTypeOptions."""
    return {"logicalTypeOptions": options}


OLD = contract(NAME, LEAD, NUMBER, any_of=[["lead"]], planned=["a"])
TEXT = {"name": "text", "logicalType": "string", "classification": "internal"}
FOR_A = {"customProperties": [{"property": "appliesTo", "value": ["a"]}]}
# new contract, and the words of its first change
BREAKING: list[tuple[Contract, str]] = [
    (contract(NAME, LEAD, any_of=[["lead"]], planned=["a"]), "number: column removed"),
    (contract(NAME, LEAD | {"required": True}, NUMBER, planned=["a"]), "lead: now required"),
    (
        contract(NAME, LEAD, NUMBER, TEXT | {"required": True}, any_of=[["lead"]], planned=["a"]),
        "text: required column added",
    ),
    (contract(NAME | listing("a"), LEAD, NUMBER, planned=["a"]), "name: valid values taken away"),
    (contract(NAME, LEAD | listing("x"), NUMBER, planned=["a"]), "lead: valid values taken away"),
    (contract(NAME, LEAD | limits(minLength=2, maxLength=20), NUMBER, planned=["a"]), "length nar"),
    (
        contract(NAME, LEAD | limits(minLength=1, maxLength=9), NUMBER, planned=["a"]),
        "length narro",
    ),
    (contract(NAME, LEAD | limits(pattern="^l"), NUMBER, planned=["a"]), "lead: pattern changed"),
    (contract(NAME, LEAD, NUMBER | limits(minimum=1), planned=["a"]), "number: range narrowed"),
    (contract(NAME, LEAD, NUMBER | limits(maximum=99), planned=["a"]), "number: range narrowed"),
    (
        contract(NAME, LEAD, NUMBER | {"customProperties": []}, planned=["a"]),
        "number: unit changed",
    ),
    (contract(NAME, LEAD, NUMBER | {"logicalType": "string"}, planned=["a"]), "type changed"),
    (contract(NAME, LEAD | {"classification": "internal"}, NUMBER, planned=["a"]), "weakened"),
    (contract(NAME, LEAD, NUMBER, any_of=[["lead"], ["number"]], planned=["a"]), "requireAnyOf"),
    (contract(NAME, LEAD, NUMBER, any_of=[["lead"]]), "planned: names no longer planned"),
    (contract(NAME, LEAD, NUMBER, planned=["a"], hours=48), "freshness promised for later"),
    (contract(NAME, LEAD, NUMBER | FOR_A, planned=["a"]), "number: column removed"),
]
COMPATIBLE: list[Contract] = [
    contract(NAME, LEAD, NUMBER, TEXT, any_of=[["lead"]], planned=["a"]),
    contract(NAME | listing("a", "b", "c"), LEAD, NUMBER, planned=["a", "b"]),
    contract(NAME | {"quality": []} | limits(pattern="^[ab]$"), LEAD, NUMBER, planned=["a"]),
    contract(NAME, LEAD | limits(maxLength=30), NUMBER, planned=["a"]),
    contract(NAME, LEAD, NUMBER | limits(minimum=-1, maximum=101), planned=["a"]),
    contract(NAME, LEAD | {"classification": "restricted"}, NUMBER, planned=["a"], hours=12),
    contract(NAME, LEAD, NUMBER, any_of=[["lead", "number"]], planned=["a"]),
    contract(
        NAME | listing("a", "b", "c"),
        LEAD,
        NUMBER,
        NUMBER
        | {"name": "share", "physicalName": "number"}
        | {
            "customProperties": [
                {"property": "unit", "value": "ppm"},
                {"property": "appliesTo", "value": ["c"]},
            ]
        },
        planned=["a"],
    ),
]


@pytest.mark.parametrize(("new", "words"), BREAKING)
def test_a_breaking_change_is_named_and_needs_a_major_version(new: Contract, words: str) -> None:
    found = compatible.changes(OLD, new)
    assert found[0].is_breaking
    assert any(words in change.words for change in found if change.is_breaking)
    refusal = compatible.verdict(OLD, new)
    assert refusal is not None
    assert words in str(refusal)
    assert "write version 2.0.0" in str(refusal)
    assert compatible.verdict(OLD, new.model_copy(update={"version": "1.9.0"})) is not None
    assert compatible.verdict(OLD, new.model_copy(update={"version": "2.0.0"})) is None


@pytest.mark.parametrize("new", COMPATIBLE)
def test_a_compatible_change_needs_a_minor_version(new: Contract) -> None:
    assert not [change.words for change in compatible.changes(OLD, new) if change.is_breaking]
    refusal = compatible.verdict(OLD, new)
    assert "write version 1.1.0" in str(refusal)
    assert compatible.verdict(OLD, new.model_copy(update={"version": "1.1.0"})) is None


def test_other_words_need_a_patch_and_no_change_needs_nothing() -> None:
    same = contract(NAME, LEAD, NUMBER, any_of=[["lead"]], planned=["a"])
    assert compatible.changes(OLD, same) == []
    assert compatible.verdict(OLD, same) is None
    reworded = contract(NAME, LEAD, NUMBER, any_of=[["lead"]], planned=["a"], purpose="another")
    assert "write version 1.0.1" in str(compatible.verdict(OLD, reworded))


def test_a_breaking_change_would_pass_if_it_were_not_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrowed = contract(NAME, LEAD, NUMBER | limits(minimum=1, maximum=100), planned=["a"])
    narrowed = narrowed.model_copy(update={"version": "1.1.0"})
    assert compatible.verdict(OLD, narrowed) is not None
    monkeypatch.setattr(compatible, "_limits", lambda *_: iter(()))
    assert compatible.verdict(OLD, narrowed) is None


BOUNDS = st.none() | st.integers(-3, 3)
RANGES = st.tuples(BOUNDS, BOUNDS).filter(lambda b: None in b or b[0] <= b[1])
LENGTHS = st.tuples(st.none() | st.integers(0, 2), st.none() | st.integers(2, 3))
LISTS = st.lists(st.sampled_from(["a", "b", "ab", "abc"]), unique=True, max_size=3)
PATTERNS = st.sampled_from([None, "^a", "^[ab]+$", "."])
GROUPS = st.lists(
    st.lists(st.sampled_from(["lead", "number", "text"]), min_size=1, max_size=2), max_size=2
)


@st.composite
def integers(draw: st.DrawFn, **fixed: Any) -> dict[str, Any]:
    """Draw what is promised of `number`."""
    low, high = draw(RANGES)
    options = limits(minimum=low, maximum=high)
    required, unit = draw(st.booleans()), draw(st.sampled_from(["", "cents"]))
    custom = [{"property": "unit", "value": unit}] if unit else []
    custom += [fixed["only"]] if "only" in fixed else []
    name = {"name": fixed.get("name", "number"), "physicalName": "number"}
    return NUMBER | options | name | {"required": required, "customProperties": custom}


@st.composite
def strings(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Draw what is promised of a string column."""
    low, high = draw(LENGTHS)
    options = limits(minLength=low, maxLength=high, pattern=draw(PATTERNS))
    values = draw(LISTS)
    listed = listing(*values) if values else {"quality": []}
    return LEAD | {"name": name, "required": draw(st.booleans())} | options | listed


def names(listed: list[str], required: bool) -> dict[str, Any]:
    """Return what is promised of `name`: a list that holds `a`, or a pattern."""
    values = listing("a", *listed) if listed else {"quality": []} | limits(pattern="^a")
    return NAME | values | {"required": required}


ONLY_A = {"property": "appliesTo", "value": ["a"]}
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.builds(names, LISTS.map(lambda v: [x for x in v if x != "a"]), st.booleans()),
    "number": st.none() | integers(),
    "special": st.none() | integers(name="special", only=ONLY_A),
    "lead": st.none() | strings("lead"),
    "text": st.none() | strings("text"),
    "groups": GROUPS,
}


@st.composite
def versions(draw: st.DrawFn) -> tuple[Contract, Contract]:
    """Draw a contract and a new version in which one or two parts are drawn again."""
    old = {part: draw(strategy) for part, strategy in PARTS.items()}
    again = draw(st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=2))
    new = old | {part: draw(PARTS[part]) for part in again}
    return built(old), built(new)


def built(parts: dict[str, Any]) -> Contract:
    """Return the contract of parts."""
    properties = [part for name, part in parts.items() if part and name != "groups"]
    return contract(*properties, any_of=parts["groups"])


ROWS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "ab", "abc", "", None]),
        "number": st.none() | st.integers(-4, 4),
        "lead": st.sampled_from([None, "", "a", "b", "ab", "abc", "äbcd"]),
        "text": st.sampled_from([None, "a", "ba", "abc"]),
    }
)


def good_rows(terms: Contract, rows: list[dict[str, Any]]) -> set[int]:
    """Return the places of the rows that keep a contract."""
    common = {"row_key": "r", "source": "s", "kind": "k", "event_time": NOON, "known_at": NOON}
    full = [dict.fromkeys(log.CANDIDATE.names) | common | row for row in rows]
    checked = check({"k": terms}, pa.Table.from_pylist(full, schema=log.CANDIDATE))
    return set(range(len(rows))) - set(checked.bad["row"].to_pylist())


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(versions(), st.lists(ROWS, min_size=5, max_size=12))
def test_after_a_compatible_change_every_good_row_stays_good(
    pair: tuple[Contract, Contract], rows: list[dict[str, Any]]
) -> None:
    old, new = pair
    event(f"compatible: {not any(c.is_breaking for c in compatible.changes(old, new))}")
    if not any(change.is_breaking for change in compatible.changes(old, new)):
        assert good_rows(old, rows) <= good_rows(new, rows)
