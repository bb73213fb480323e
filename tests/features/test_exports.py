"""CSV exports through a mapping: times, keys, numbers, lookups, and what is wrong in one line."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from cluster.errors import WrongUse
from cluster.settings import CONFIGS, validated
from features.contracts import Contract, load_contracts
from features.sources import mapped, read, vetting
from features.sources.mapping import SourceMapping

if TYPE_CHECKING:
    from features.sources.lot import Mapped

DEALS = (
    "id,owner,stage,opened,amount\nd1,ann,Won,2/1/2024,10.5\nd2,bob,Open,,\nd3,,Won,3/1/2024,7\n"
)
TEAMS = "owner,office\nann,north\nbob,south\n"
OPENED = {"column": "opened", "format": "%m/%d/%Y"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two files."""
    (tmp_path / "deals.csv").write_text(DEALS)
    (tmp_path / "teams.csv").write_text(TEAMS)
    return tmp_path


def _mapping(file: dict[str, Any] | None = None, **event: Any) -> SourceMapping:
    plain = {
        "kind": "opportunity",
        "name": "created",
        "event_time": OPENED,
        "known_at": {**OPENED, "plus_hours": 24},
        "where": {"opened": []},
        "keys": {"opportunity": "id", "rep": "owner"},
        "number": {"column": "amount", "times": 100},
        "text": "office",
    }
    whole = {
        "file": "deals.csv",
        "row_key": "id",
        "replace": {"owner": {"ann": "Ann"}},
        "lookups": [{"file": "teams.csv", "key": "owner", "take": ["office"]}],
        "events": [{**plain, **event}],
        **(file or {}),
    }
    return validated(SourceMapping, {"source": "test", "files": [whole]}, where="test.yaml")


@functools.cache
def _terms() -> dict[str, Contract]:
    return load_contracts(CONFIGS / "contracts")


def _lot(mapping: SourceMapping, folder: Path) -> Mapped:
    (strip,) = read.strips(mapping, folder, 1 << 20, _terms())
    (lot,) = read.lots(mapping, strip, folder, lambda _, values: values)
    return lot


def _events(mapping: SourceMapping, folder: Path) -> list[dict[str, Any]]:
    return _lot(mapping, folder).events.to_pylist()


def test_a_row_becomes_an_event(folder: Path) -> None:
    """A date is known at the end of its day, money is whole cents, the row's number is kept."""
    first, third = _events(_mapping(), folder)
    assert first["row_key"] == "test:deals.csv:opportunity.created:d1"
    assert first["event_time"] == datetime(2024, 2, 1, tzinfo=UTC)
    assert first["known_at"] == datetime(2024, 2, 2, tzinfo=UTC)
    assert (first["number"], first["source_row"], first["rep"]) == (1050, 1, "Ann")
    assert (third["source_row"], third["rep"], third["text"]) == (3, None, None)


def test_each_event_knows_the_row_it_came_from(folder: Path) -> None:
    """`origin` points into the rows as they were read."""
    lot = _lot(_mapping(), folder)
    assert lot.raw.take(pa.array(lot.origin))["id"].to_pylist() == ["d1", "d3"]
    assert lot.raw["owner"].to_pylist() == ["ann", "bob", None], "not as it was repaired"


def test_no_lot_has_more_events_than_asked_for(folder: Path) -> None:
    """Two events of a row count as two; the rows keep their numbers."""
    lines = "".join(f"d{n},ann,Won,2/1/2024,1\n" for n in range(99))
    (folder / "deals.csv").write_text("id,owner,stage,opened,amount\n" + lines)
    mapping = _mapping()
    (event,) = mapping.files[0].events
    twice = (event, event.model_copy(update={"slot": "again"}))
    file = mapping.files[0].model_copy(update={"events": twice})
    mapping = mapping.model_copy(update={"files": (file,)})
    (strip,) = read.strips(mapping, folder, 1 << 20, _terms())
    lots = list(read.lots(mapping, strip, folder, lambda _, values: values, 20))
    assert max(lot.events.num_rows for lot in lots) <= 20
    numbers = [n for lot in lots for n in lot.events["source_row"].to_pylist()]
    assert sorted(numbers) == sorted([*range(1, 100)] * 2)


def test_values_are_replaced_and_looked_up(folder: Path) -> None:
    """The lookup sees the repaired value: 'Ann' is not in the teams file, 'bob' is."""
    rows = _events(_mapping(where={}), folder)
    assert [row["text"] for row in rows] == [None, "south", None]


def test_a_lookup_that_means_two_things_is_refused(folder: Path) -> None:
    """Which of the two would be taken is nobody's guess."""
    (folder / "teams.csv").write_text(TEAMS + "bob,east\n")
    with pytest.raises(WrongUse, match=r"two values of 'office' for one 'owner' in 'teams.csv'"):
        _lot(_mapping(), folder)


@pytest.mark.parametrize(
    ("where", "deals"),
    [
        ({"stage": ["Open"]}, ["d2"]),
        ({"stage": {"not": ["Open"]}}, ["d1", "d3"]),
        ({"owner": {"absent": True}}, ["d3"]),
        ({"owner": {"present": True}, "stage": {"starts_with": ["Op", "X"]}}, ["d2"]),
        ({"amount": {"at_least": 7}}, ["d1", "d3"]),
        ({"amount": {"above": 7, "at_most": 10.5}}, ["d1"]),
        ({"amount": {"below": 7}}, []),
    ],
)
def test_only_the_rows_wanted(folder: Path, where: dict[str, Any], deals: list[str]) -> None:
    """All conditions must be met; an absent cell meets no comparison."""
    rows = _events(_mapping(where=where), folder)
    assert [row["opportunity"] for row in rows] == deals


def test_an_event_without_its_time_is_left_to_the_contract(folder: Path) -> None:
    """Absent is not broken: whether it is required is the contract's business."""
    lot = _lot(_mapping(where={"stage": ["Open"]}), folder)
    assert lot.events["event_time"].to_pylist() == [None]
    assert lot.broken == []


def test_stages_become_names(folder: Path) -> None:
    """The row key has the column in place of the name, so that a corrected name is a correction."""
    name = {"column": "stage", "values": {"Open": "New / Open"}, "snake": True}
    rows = _events(_mapping(kind="stage", name=name, where={}), folder)
    assert [row["name"] for row in rows] == ["won", "new_open", "won"]
    assert rows[0]["row_key"] == "test:deals.csv:stage.[stage]:d1"


def test_a_broken_cell_is_named_and_described(folder: Path) -> None:
    """The event stays, without the value; the reason shows its shape, not its letters."""
    (folder / "deals.csv").write_text(DEALS.replace("10.5", "Ann Smith").replace("3/1", "2/30"))
    lot = _lot(_mapping(), folder)
    found = {b.column: (b.rows.tolist(), list(b.reasons)) for b in lot.broken}
    assert found["number"] == (
        [0],
        ["number is a number that fits: a value of 9 letters like 'Aaa Aaaaa'"],
    )
    assert found["event_time"][0] == [1], "30 February is no day"
    assert lot.events["number"].to_pylist() == [None, 700]


def test_a_value_that_is_on_no_list_is_broken(folder: Path) -> None:
    """Where the mapping says that its list is complete."""
    stage = {"column": "stage", "values": {"Won": "won"}, "others": "refuse"}
    lot = _lot(_mapping(text=stage, where={}), folder)
    assert [b.rows.tolist() for b in lot.broken] == [[1]]
    lax = _lot(_mapping(text={**stage, "others": "keep"}, where={}), folder)
    assert (lax.broken, lax.events["text"].to_pylist()) == ([], ["won", "Open", "won"])


def test_an_amount_in_another_currency_is_broken(folder: Path, monkeypatch: Any) -> None:
    """Mutant: without the look at the currency, 10.50 of anything would be 10.50 of ours."""
    rows = "id,owner,opened,amount,money\nd1,a,2/1/2024,10.5,JPY\nd2,b,2/1/2024,10.5,USD\n"
    (folder / "deals.csv").write_text(rows)
    currency = {"column": "money", "accepted": ["USD"]}
    mapping = _mapping(number={"column": "amount", "times": 100, "currency": currency})
    assert _lot(mapping, folder).events["number"].to_pylist() == [None, 1050]
    blind = mapping.files[0].events[0].number.model_copy(update={"currency": None})  # type: ignore[union-attr]
    number = mapped._number
    monkeypatch.setattr(mapped, "_number", lambda _, cells: number(blind, cells))
    assert _lot(mapping, folder).events["number"].to_pylist() == [1050, 1050]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"text": "ofice"}, "deals.csv: no column 'ofice': did you mean 'office'?"),
        ({"keys": {"opportunity": "idd"}}, "deals.csv: no column 'idd': did you mean 'id'?"),
        ({"kind": "oportunity"}, "no contract is about kind 'oportunity': did you mean 'opp"),
        ({"name": "creatd"}, "opportunity events have no name 'creatd': did you mean 'created'?"),
        ({"kind": "stage", "name": "In Talks"}, "a name of stage events matches"),
    ],
)
def test_a_wrong_mapping_is_named_before_any_row_is_read(
    folder: Path, event: dict[str, Any], words: str
) -> None:
    """File, column or kind, and the nearest match."""
    (folder / "deals.csv").write_bytes(DEALS.encode() + b"\xff\xfe rows that nobody may read\n")
    with pytest.raises(WrongUse) as error:
        read.strips(_mapping(**event), folder, 1 << 20, _terms())
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"event_time": {"column": "opened", "format": "%Q"}}, "unknown directive '%Q'"),
        ({"event_time": {"column": "opened", "format": "ISO"}}, "did you mean 'ISO8601'?"),
        ({"event_time": {"column": "opened", "zone": "Europe/Berln"}}, "'Europe/Berlin'"),
        ({"event_time": {"lag_hours": 3}}, "'lag_hours' is for known_at"),
        ({"event_time": {"order": True}}, "needs the 'order' of its file"),
        ({"number": {"colum": "amount"}}, "did you mean 'column'?"),
        ({"where": {"stage": {}}}, "needs one of: in, not"),
    ],
)
def test_a_wrong_word_is_refused_when_the_mapping_is_read(
    event: dict[str, Any], words: str
) -> None:
    """The language is closed: directives, zones, keys."""
    with pytest.raises(WrongUse) as error:
        _mapping(**event)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_to_make_rows_of_needs_a_format_that_has_lists() -> None:
    """A CSV file has none: unchecked, `each` would be passed over."""
    with pytest.raises(WrongUse, match="'each' needs JSON lines or Parquet, got csv: no list"):
        _mapping({"each": "id"})


def test_two_events_of_a_row_need_two_keys(folder: Path, monkeypatch: Any) -> None:
    """Mutant: unchecked, the second would be a correction of the first."""
    mapping = _mapping()
    file = mapping.files[0].model_copy(update={"events": mapping.files[0].events * 2})
    doubled = mapping.model_copy(update={"files": (file,)})
    with pytest.raises(WrongUse, match=r"got 'opportunity.created' twice: add 'slot'"):
        read.strips(doubled, folder, 1 << 20, _terms())
    monkeypatch.setattr(vetting, "vet", lambda *_: None)
    assert len({e["row_key"] for e in _events(doubled, folder)}) == 2, "four events, two keys"


def test_a_missing_file_is_named(folder: Path) -> None:
    """With the nearest file of the folder."""
    (folder / "deals.csv").rename(folder / "deal.csv")
    with pytest.raises(WrongUse, match=r"did you mean 'deal.csv'"):
        read.strips(_mapping(), folder, 1 << 20, _terms())


def test_the_fingerprint_covers_lookups(folder: Path) -> None:
    """A changed team is a changed source."""
    before = read.fingerprint(_mapping(), folder)
    (folder / "teams.csv").write_text(TEAMS + "cid,west\n")
    after = read.fingerprint(_mapping(), folder)
    assert before["deals.csv"] == after["deals.csv"]
    assert before["teams.csv"] != after["teams.csv"]
