"""CSV exports through a mapping: times, keys, numbers, lookups, and what is wrong in one line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import WrongUse
from cluster.settings import validated
from features.sources import exports
from features.sources.mapping import SourceMapping

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


def _mapping(**event: Any) -> SourceMapping:
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
    file = {
        "file": "deals.csv",
        "row_key": "id",
        "replace": {"owner": {"ann": "Ann"}},
        "lookups": [{"file": "teams.csv", "key": "owner", "take": ["office"]}],
        "events": [{**plain, **event}],
    }
    return validated(SourceMapping, {"source": "test", "files": [file]}, where="test.yaml")


def test_a_row_becomes_an_event(folder: Path) -> None:
    """A date is known at the end of its day, money is whole cents, the line in the file is kept."""
    first, third = exports.read(_mapping(), folder).to_pylist()
    assert first["row_key"] == "test:deals.csv:opportunity.created:d1"
    assert first["event_time"] == datetime(2024, 2, 1, tzinfo=UTC)
    assert first["known_at"] == datetime(2024, 2, 2, tzinfo=UTC)
    assert (first["number"], first["source_row"], first["rep"]) == (1050, 2, "Ann")
    assert (third["source_row"], third["rep"], third["text"]) == (4, None, None)


def test_values_are_replaced_and_looked_up(folder: Path) -> None:
    """The lookup sees the repaired value: 'Ann' is not in the teams file, 'bob' is."""
    rows = exports.read(_mapping(where={}, text="office"), folder).to_pylist()
    assert [row["text"] for row in rows] == [None, "south", None]


def test_only_the_rows_wanted(folder: Path) -> None:
    """A condition on values keeps the rows that have one of them."""
    rows = exports.read(_mapping(where={"stage": ["Open"]}), folder).to_pylist()
    assert [row["opportunity"] for row in rows] == ["d2"]
    assert rows[0]["event_time"] is None, "left to the contract, which refuses it with its reason"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"text": "ofice"}, "deals.csv: no column 'ofice': did you mean 'office'?"),
        ({"keys": {"opportunity": "idd"}}, "deals.csv: no column 'idd': did you mean 'id'?"),
    ],
)
def test_a_wrong_column_is_named_before_any_row_is_read(
    folder: Path, event: dict[str, Any], words: str
) -> None:
    """File, column and the nearest match."""
    with pytest.raises(WrongUse) as error:
        exports.read(_mapping(**event), folder)
    assert words in str(error.value)


def test_a_missing_file_is_named(folder: Path) -> None:
    """With the nearest file of the folder."""
    (folder / "deals.csv").rename(folder / "deal.csv")
    with pytest.raises(WrongUse, match=r"did you mean 'deal.csv'"):
        exports.read(_mapping(), folder)


def test_the_fingerprint_covers_lookups(folder: Path) -> None:
    """A changed team is a changed source."""
    before = exports.fingerprint(_mapping(), folder)
    (folder / "teams.csv").write_text(TEAMS + "cid,west\n")
    assert exports.fingerprint(_mapping(), folder) != before
