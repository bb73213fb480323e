"""Delimited text into rows: bad bytes lose nothing, and where a file is cut changes nothing."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import WrongUse
from features.sources import delimited, formats, rowends
from features.sources.lot import Rows, Strip
from features.sources.mapping import FileMapping

EVENT: dict[str, Any] = {
    "kind": "touch",
    "name": "web_visit",
    "event_time": {"fixed": "2024-01-01"},
    "known_at": {"fixed": "2024-01-01"},
    "keys": {"lead": "a"},
}
HEAD = b"a,b,c\n"


def _file(name: str = "f.csv", **how: Any) -> FileMapping:
    return FileMapping.model_validate({"file": name, "row_key": "a", "events": [EVENT], **how})


def _read(
    folder: Path, file: FileMapping, strip_bytes: int = 1 << 30, most: int = 1000
) -> list[Rows]:
    names = formats.names(file, folder, 0)
    strips = [
        s for n in names for s in formats.strips(file, folder, Strip(file=n, part=0), strip_bytes)
    ]
    return [rows for strip in strips for rows in formats.rows(file, folder, strip, most)]


def _cells(parts: list[Rows]) -> dict[int, list[str | None]]:
    return {
        number: list(row.values())
        for rows in parts
        for number, row in zip(rows.numbers.tolist(), rows.table.to_pylist(), strict=True)
    }


def _lost(parts: list[Rows]) -> dict[int, bytes]:
    return {u.source_row: u.raw for rows in parts for u in rows.unreadable}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"x,y\n", rowends.CELLS),
        (b"x,y,z,more\n", rowends.CELLS),
        (b"x,y\0,z\n", delimited.NUL),
        (b"x,caf\xe9,z\n", delimited.NOT_UTF8),
        (b'x,"y,z\n', rowends.UNCLOSED),
        (b'"x\n', rowends.UNCLOSED),
        (b'x,y,"z\n', rowends.UNCLOSED),
        (b"\xff\xfe\0\n", delimited.NOT_UTF8),
    ],
)
def test_a_row_that_is_none_is_kept_with_its_bytes(
    tmp_path: Path, line: bytes, reason: int
) -> None:
    """And all rows around it are read, with their numbers."""
    good = b"1,2,3\n"
    (tmp_path / "f.csv").write_bytes(HEAD + good * 2 + line + good * 3 + b'4,"5, 6",7\n' + good)
    parts = _read(tmp_path, _file())
    assert _lost(parts) == {3: line}
    assert [u.reason for p in parts for u in p.unreadable] == [delimited.REASONS[reason]]
    assert sorted(_cells(parts)) == [1, 2, 4, 5, 6, 7, 8]
    assert _cells(parts)[7] == ["4", "5, 6", "7"]


def test_without_the_careful_look_good_rows_would_be_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: were Arrow believed, a stray quote would take the following lines with it."""
    (tmp_path / "f.csv").write_bytes(HEAD + b'1,2,"3\n4,5,6\n7,8,9"\n1,2,3\n')
    (tmp_path / "g.csv").write_bytes(HEAD + b'1,2,"3\n4,5,6\n7,8,9\n1,2,3\n')
    assert len(_cells(_read(tmp_path, _file()))) == 2, "a value may span lines"
    assert sorted(_cells(_read(tmp_path, _file("g.csv")))) == [2, 3, 4]
    monkeypatch.setattr(delimited, "_is_one_per_line", lambda *_: True)
    believed = _read(tmp_path, _file("g.csv"))
    assert sorted(_cells(believed)) != [2, 3, 4]


def test_a_value_may_span_lines(tmp_path: Path) -> None:
    """Quotes in it are doubled; a row counts once, however many lines it takes."""
    (tmp_path / "f.csv").write_bytes(HEAD + b'1,"two\nand ""more""\r\n",3\n4,5,6\n')
    found = _cells(_read(tmp_path, _file()))
    assert found == {1: ["1", 'two\nand "more"\r\n', "3"], 2: ["4", "5", "6"]}


def test_a_quote_inside_a_value_is_a_letter(tmp_path: Path) -> None:
    """Screens have inches."""
    (tmp_path / "f.csv").write_bytes(HEAD + b'1,13" screen,3\n4,5" disk,"x, y"\n')
    found = _cells(_read(tmp_path, _file()))
    assert found == {1: ["1", '13" screen', "3"], 2: ["4", '5" disk', "x, y"]}


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("strip_bytes", [40, 300, 1 << 20])
def test_strips_and_lots_change_nothing(tmp_path: Path, strip_bytes: int, quoted: bool) -> None:
    """Wherever a file is cut, the same rows have the same numbers; also with values over lines."""
    text = 'line one\nline "" two' if quoted else "plain"
    lines = "".join(f'{i},"{text}",c{i}\n' if quoted else f"{i},{text},c{i}\n" for i in range(200))
    (tmp_path / "f.csv").write_text("a,b,c\n" + lines + "\n200,x,y")
    parts = _read(tmp_path, _file(), strip_bytes, most=7)
    assert {number: row[0] for number, row in _cells(parts).items()} == {
        i + 1: str(i) for i in range(201)
    }
    assert not _lost(parts)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.lists(st.text(st.sampled_from('ab,"\n\ré '), max_size=6), min_size=3, max_size=3),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 60),
)
def test_whatever_is_written_is_read(values: list[list[str]], cut: int) -> None:
    """Any table, written by another program, from pieces of any size."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(values)
    data, rest, found = text.getvalue().encode(), b"", []
    file = _file()
    for start in range(0, len(data) + cut, cut):
        rest += data[start : start + cut]
        rows, used = delimited.parsed(file, ["a", "b", "c"], rest, start + cut > len(data))
        rest = rest[used:]
        found += [[cell or "" for cell in row.values()] for row in rows.table.to_pylist()]
        assert rows.unreadable == []
    assert found == values


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=200), st.integers(20, 400))
def test_every_byte_is_a_row_or_is_named(noise: bytes, strip_bytes: int) -> None:
    """Noise between good rows: nothing but blank lines is lost, and no row is counted twice."""
    block = b"1,2,3\n" + noise + b"\n4,5,6\n"
    rows, used = delimited.parsed(_file(), ["a", "b", "c"], block, True)
    assert used == len(block)
    places = [*rows.numbers.tolist(), *(u.source_row for u in rows.unreadable)]
    assert sorted(places) == list(range(len(places)))
    assert rows.table.num_rows == len(rows.numbers)
    assert rows.table.slice(0, 1).to_pylist() == [{"a": "1", "b": "2", "c": "3"}] or noise.count(
        b'"'
    )


def test_poison_among_many_loses_no_good_row(tmp_path: Path) -> None:
    """500 rows of six kinds of wrong among 20,000."""
    rng = np.random.default_rng(5)
    wrong = [b"x\n", b"1,2,3,4\n", b"a,\0,c\n", b"a,\xc3,c\n", b'a,"b,c\n', b'"\n']
    lines = [b"%d,b,c\n" % i for i in range(20_000)]
    places = rng.choice(20_000, 500, replace=False)
    for place in places.tolist():
        lines[place] = wrong[int(rng.integers(len(wrong)))]
    (tmp_path / "f.csv").write_bytes(HEAD + b"".join(lines))
    parts = _read(tmp_path, _file(), 50_000, 2_000)
    assert set(_lost(parts)) == {place + 1 for place in places.tolist()}
    assert len(_cells(parts)) == 19_500
    assert all(row[0] == str(number - 1) for number, row in _cells(parts).items())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "latin-1"])
def test_text_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    """With a byte order mark or without."""
    (tmp_path / "f.csv").write_bytes("a;b;c\n1;Café;3\n4;Zürich;6\n".encode(encoding))
    found = _cells(_read(tmp_path, _file(encoding=encoding, delimiter=";"), 8))
    assert [row[1] for row in found.values()] == ["Café", "Zürich"]


def test_a_byte_unknown_to_the_encoding_is_named(tmp_path: Path) -> None:
    """0x81 is nothing in Windows-1252."""
    (tmp_path / "f.csv").write_bytes(HEAD + b"1,\x81,3\n4,\xe9,6\n")
    parts = _read(tmp_path, _file(encoding="cp1252"))
    assert _lost(parts) == {1: b"1,\x81,3\n"}
    assert _cells(parts) == {2: ["4", "é", "6"]}


def test_packed_files_and_members_are_read_in_order(tmp_path: Path) -> None:
    """gzip, members of an archive by glob, many files by glob."""
    for n in (2, 1):
        (tmp_path / f"p{n}.csv").write_bytes(HEAD + b"%d,,\n" % n)
    with gzip.open(tmp_path / "q.csv.gz", "wb") as packed:
        packed.write(HEAD + b"3,,\n")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for n in (5, 4):
            archive.writestr(f"in/{n}.csv", HEAD + b"%d,,\n" % n)
        archive.writestr("readme.md", "no")
    names = ("p*.csv", "q.csv.gz", "z.zip!in/*.csv")
    found = [rows for name in names for rows in _read(tmp_path, _file(name))]
    assert [rows.table["a"][0].as_py() for rows in found] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("f.csv", b"PAR1\x15\x04", "got a Parquet file"),
        ("f.csv", "a,b\n".encode("utf-16"), "got text in UTF-16"),
        ("f.csv", b"\x1f\x8b\x08\0", "got a gzip file"),
        ("f.csv", b"", "must start with a header"),
        ("f.csv", b"a,b\xe9,c\n", "add 'encoding'"),
        ("f.parquet", b"a,b,c\n", "must be a Parquet file"),
        ("f.csv.gz", gzip.compress(HEAD + b"1,2,3\n" * 999)[:-12], "cannot be unpacked"),
        ("f.zip!*.csv", b"no zip", "must be a zip archive"),
        ("f.jsonl", b'[{"a": 1}]\n', "one JSON object per line, got a list"),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    """In one line that says what it is."""
    (tmp_path / name.partition("!")[0]).write_bytes(data)
    with pytest.raises(WrongUse, match=words) as error:
        formats.columns(_file(name), tmp_path, formats.names(_file(name), tmp_path, 0)[0])
        _read(tmp_path, _file(name))
    assert "\n" not in str(error.value)


def test_memory_is_bounded_by_the_lot(tmp_path: Path) -> None:
    """However long the file: no lot has more rows than asked for."""
    (tmp_path / "f.csv").write_bytes(HEAD + b"1,2,3\n" * 50_000)
    sizes = [len(rows.numbers) for rows in _read(tmp_path, _file(), most=3_000)]
    assert sum(sizes) == 50_000
    assert max(sizes) <= 3_000
