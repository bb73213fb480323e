"""Persons: a pseudonym in every event, the fields for the vault, and no way around."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest

from cluster.errors import WrongUse
from cluster.settings import CONFIGS, validated
from features.contracts import Contract, load_contracts
from features.sources import cells, read, vetting
from features.sources.mapping import SourceMapping

if TYPE_CHECKING:
    from features.sources.lot import Mapped

LEADS = (
    "Id,Email,Name,Phone,Owner,Note\n"
    "l1,ada@example.com,Ada Byron,+1 555 0100,Bob Ray,please call +1 (202) 555-0143\n"
    "l2,ada@example.com,Ada King,,Bob Ray,ask ada@example.com about price\n"
    "l3,,Nobody,,,plain words\n"
)
PEOPLE = [
    {"key": "Email", "namespace": "e-mail", "fields": {"name": "Name", "phone": "Phone"}},
    {"key": "Owner", "namespace": "rep", "fields": {"name": "Owner"}},
]
EVENT: dict[str, Any] = {
    "kind": "lead",
    "name": "created",
    "event_time": {"fixed": "2024-01-01"},
    "known_at": {"fixed": "2024-01-01"},
    "keys": {"lead": "Id", "person": "Email", "rep": "Owner"},
    "text": {"column": "Note", "free_text": True, "longest": 30},
}


def _mapping(file: dict[str, Any] | None = None, **event: Any) -> SourceMapping:
    whole = {"file": "leads.csv", "row_key": ["Id", "Email"], "people": PEOPLE, **(file or {})}
    whole["events"] = [{**EVENT, **event}]
    return validated(SourceMapping, {"source": "test", "files": [whole]}, where="test.yaml")


@functools.cache
def _terms() -> dict[str, Contract]:
    return load_contracts(CONFIGS / "contracts")


def _hidden(namespace: str, values: pa.Array) -> pa.Array:
    return pa.array([v and f"p-{namespace}-{len(v)}" for v in values.to_pylist()], pa.string())


def _lot(mapping: SourceMapping, folder: Path) -> Mapped:
    (folder / "leads.csv").write_text(LEADS)
    (strip,) = read.strips(mapping, folder, 1 << 20, _terms())
    (lot,) = read.lots(mapping, strip, folder, _hidden)
    return lot


def _as_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    arrow_csv.write_csv(table, sink)
    return sink.getvalue()


def test_a_person_is_a_pseudonym_in_keys_row_keys_and_text(tmp_path: Path) -> None:
    """Wherever the column is used; who has no key is nobody."""
    lot = _lot(_mapping(text="Owner"), tmp_path)
    first, _, third = lot.events.to_pylist()
    assert (first["person"], first["rep"], first["text"]) == ("p-e-mail-15", "p-rep-7", "p-rep-7")
    assert first["row_key"] == "test:leads.csv:lead.created:l1:p-e-mail-15"
    assert (third["person"], third["rep"]) == (None, None)


def test_the_vault_gets_each_field_once(tmp_path: Path) -> None:
    """Two names of one person are two; a person without a key is not kept."""
    people = _lot(_mapping(), tmp_path).people
    assert sorted(tuple(row.values()) for row in people.to_pylist()) == [
        ("p-e-mail-15", "name", "Ada Byron"),
        ("p-e-mail-15", "name", "Ada King"),
        ("p-e-mail-15", "phone", "+1 555 0100"),
        ("p-rep-7", "name", "Bob Ray"),
    ]


def test_free_text_is_scrubbed_and_events_hold_nothing_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: without scrubbing, or without pseudonyms, the bytes are there."""
    secrets = [b"ada@example.com", b"555-0143", b"Bob Ray", b"Byron"]
    mapping = _mapping()
    clean = _as_bytes(_lot(mapping, tmp_path).events)
    assert not [s for s in secrets if s in clean]
    assert b"please call [phone]" in clean
    monkeypatch.setattr(cells, "scrubbed", lambda values: values)
    assert b"ada@example.com" in _as_bytes(_lot(mapping, tmp_path).events)
    lots = read.lots(mapping, read.strips(mapping, tmp_path, 99)[0], tmp_path, lambda _, v: v)
    assert b"Bob Ray" in _as_bytes(next(iter(lots)).events)


@pytest.mark.parametrize(
    ("file", "event", "words"),
    [
        ({}, {"text": "Name"}, "a field of a person goes to the vault alone, got 'Name'"),
        ({}, {"where": {"Phone": []}}, "goes to the vault alone, got 'Phone'"),
        ({"row_key": "Name"}, {}, "goes to the vault alone, got 'Name'"),
        ({}, {"keys": {"person": "Id"}}, "or a column declared 'opaque', got 'Id'"),
        ({"people": [PEOPLE[1], PEOPLE[1]]}, {}, "names one person, got it twice"),
    ],
)
def test_a_person_in_the_clear_is_refused(
    tmp_path: Path, file: dict[str, Any], event: dict[str, Any], words: str
) -> None:
    """Before any row is read."""
    with pytest.raises(WrongUse) as error:
        _lot(_mapping(file, **event), tmp_path)
    assert words in str(error.value)


def test_without_the_refusal_a_name_would_reach_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant."""
    monkeypatch.setattr(vetting, "_vet_people", lambda *_: None)
    assert b"Ada Byron" in _as_bytes(_lot(_mapping(text="Name"), tmp_path).events)


def test_an_opaque_column_is_taken_as_it_is(tmp_path: Path) -> None:
    """It is a pseudonym already."""
    keys = {"lead": "Id", "person": "Id"}
    lot = _lot(_mapping({"opaque": ["Id"]}, keys=keys), tmp_path)
    assert lot.events["person"].to_pylist() == ["l1", "l2", "l3"]
