"""Quarantine and back: what is written out, and what a repair file may not be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster import canonical
from cluster.errors import WrongUse
from cluster.settings import CONFIGS
from features import ingest, log
from features.contracts import load_contracts
from features.ingest import corrected, quarantine
from features.sources.mapping import SourceMapping

if TYPE_CHECKING:
    from cluster.workspace import Workspace

CONTRACTS = load_contracts(CONFIGS / "contracts")
VISIT: dict[str, Any] = {
    "kind": "touch",
    "name": "web_visit",
    "event_time": {"column": "at"},
    "known_at": {"column": "at"},
    "keys": {"account": "account"},
    "text": "page",
}
FILE = {"file": "f.jsonl", "row_key": "id", "optional": ["page"], "events": [VISIT]}
MAPPING = SourceMapping.model_validate({"source": "shop", "files": [FILE]})
CELLS = {"id": "1", "at": "2025-01-01", "account": "a", "page": "/p"}
ROW = {  # as it is written out, and corrected
    "quarantine_id": "0" * 32,
    "source": "shop",
    "file": "f.jsonl",
    "part": 0,
    "source_row": 1,
    "reasons": "r",
    "cells": CELLS,
}
LINES = {  # that are no rows -> are they JSON?
    r'{"account":"\ud800","id":"1"}': True,
    '{"account":"a","id":"1","page":NaN}': True,
    '{"id":"1","page":7}': True,
    '{"id": "1"}': True,
    "[" * 99_999: False,
    '"a text"': False,
}


def _what(folder: Path) -> ingest.Source:
    return ingest.Source(mapping=MAPPING, folder=folder, terms=CONTRACTS)


def _file(folder: Path, *rows: dict[str, Any] | str) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path = folder / "open.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _lines(folder: Path, *rows: dict[str, Any] | str) -> list[corrected.Line]:
    return list(corrected.read_file(_file(folder, *rows), MAPPING))


@pytest.mark.parametrize("line", LINES)
def test_an_unreadable_line_is_given_back_as_it_was_read(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells are given back as cells. Mutant: without the look at the spelling, a line may be cells
    that cannot even be written.
    """
    assert quarantine._cells(line.encode()) == {"line": line}
    assert quarantine._cells(canonical.dumps(CELLS)) == CELLS
    monkeypatch.setattr(quarantine, "_is_row", lambda found, data: isinstance(found, dict))
    assert ("line" not in quarantine._cells(line.encode())) == LINES[line]


def test_a_row_of_a_repair_ends_at_a_newline_alone(tmp_path: Path) -> None:
    """Not at what else ends a line: cells that are refused for such letters are written out too."""
    row = {**ROW, "cells": {**CELLS, "page": "a\u2028b\x85c\x1c"}}
    assert [line.cells for line in _lines(tmp_path, row)] == [row["cells"]]


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ({"url": "/p"}, "an object"),
        (["/p"], "a list"),
        (7, "a number"),
        (1.5, "a number"),
        (float("nan"), "a number"),
        (True, "a boolean"),
        (r"\ud800", "half of a surrogate pair"),
    ],
)
def test_a_cell_of_a_repair_is_a_text_or_null(tmp_path: Path, cell: Any, what: str) -> None:
    """Anything else is refused in one line that names its place."""
    null = {**ROW, "cells": {**CELLS, "page": None}}
    bad = json.dumps({**ROW, "cells": {**CELLS, "page": cell}}).replace(r"\\ud", r"\ud")
    with pytest.raises(WrongUse) as error:
        _lines(tmp_path, ROW, null, bad)
    assert str(error.value) == (
        f"a cell of a repaired row must be a text or null, got {what} in 'page' of open.jsonl,"
        " line 3: write it as a text"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quarantine_id", "no id"),
        ("quarantine_id", 7),
        ("source", None),
        ("file", None),
        ("part", "0"),
        ("part", -1),
        ("source_row", 1.0),
        ("source_row", True),
        ("source_row", 1 << 63),
        ("cells", ["/p"]),
        ("cells", None),
    ],
)
def test_the_place_of_a_repair_is_what_was_written_out(
    tmp_path: Path, name: str, value: Any
) -> None:
    """Found while the file is read, also the id, which is needed only at the end."""
    with pytest.raises(WrongUse, match=rf"^'{name}' of a repaired row must .* open.jsonl, line 2:"):
        _lines(tmp_path, ROW, {**ROW, name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("source", "web", "must be of the source that is given, got one of 'web' for 'shop'"),
        ("part", 1, "'part' of a repaired row must be below 1, got 1"),
        ("cells", {**CELLS, "pgae": "/p"}, "line 2: no column 'pgae': did you mean 'page'?"),
        ("cells", {"line": "{}"}, "no column 'line': valid are: account, at, id, page"),
    ],
)
def test_a_repair_fits_the_mapping(tmp_path: Path, name: str, value: Any, message: str) -> None:
    """A row of another source or part, and a column that nobody would read, are refused."""
    with pytest.raises(WrongUse, match=re.escape(message)):
        _lines(tmp_path, ROW, {**ROW, name: value})


def test_a_column_that_is_left_out_is_empty(workspace: Workspace, tmp_path: Path) -> None:
    """In all rows or in some; and empty cells are written out, with their names."""
    (tmp_path / "f.jsonl").write_text('{"id": "1", "account": "a"}\n{"id": "2", "at": "soon"}\n')
    quiet = lambda *_: None  # noqa: E731
    assert ingest.source(workspace, _what(tmp_path), "inline", quiet).quarantined == 2
    first, second = corrected.rows(workspace, workspace.tables.read(quarantine.TABLE))
    assert first["cells"] == {"id": "1", "at": None, "account": "a", "page": None}
    first["cells"]["at"], second["cells"]["at"] = "2025-01-01", "2025-01-02"
    del first["cells"]["page"], second["cells"]["page"]
    still = _file(tmp_path, first, second)
    done = ingest.repair(workspace, _what(tmp_path), still)
    assert (done.added, done.quarantined) == (1, 1)
    second["cells"]["account"] = "b"
    assert ingest.repair(workspace, _what(tmp_path), _file(tmp_path, second)).added == 1


@pytest.mark.parametrize("line", ["{", "[]", "7", '{"cells": {}}', "[" * 99_999])
def test_what_is_no_repaired_row_is_refused(tmp_path: Path, line: str) -> None:
    """In one line that names its place."""
    with pytest.raises(WrongUse, match=r"^a repaired row must be JSON .* open.jsonl, line 2$"):
        _lines(tmp_path, ROW, line)


def test_a_repair_with_a_wrong_cell_takes_no_row_in(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: without the look at its cells, it fails when it has begun, and in other words."""
    path = _file(tmp_path, {**ROW, "cells": {**CELLS, "page": {"url": "/p"}}})
    with pytest.raises(WrongUse, match="got an object in 'page'"):
        ingest.repair(workspace, _what(tmp_path), path)
    assert not workspace.tables.exists(log.TABLE)
    monkeypatch.setattr(corrected, "_require_texts", lambda line, place: None)
    with pytest.raises(TypeError):
        ingest.repair(workspace, _what(tmp_path), path)
    assert workspace.tables.exists(log.TABLE)
