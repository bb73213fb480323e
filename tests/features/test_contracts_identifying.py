"""Identifying data is found in text, and ids, times and amounts are not taken for it."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.contracts import identifying

FINDS = {
    "e-mail": [
        "jo@acme.com",
        "mail JO.Doe+x@sub.acme.co.uk now",
        "https://x.io/?email=jo%40acme.com&y=1",
        "<jo@müller.de>",
        "jo\uff20acme.com",
    ],
    "phone": [
        "+49 89 1234567",
        "+14155552671",
        "(415) 555-2671",
        "415-555-2671",
        "415.555.2671",
        "1-415-555-2671",
        "089 1234567",
        "089-1234567",
        "0171/1234567",
        "020 7946 0958",
        "01 23 45 67 89",
        "01.23.45.67.89",
        "0044 20 7946 0958",
        "call me at +1 (415) 555-2671.",
        "Tel.: 4155552671",
        "+49\u00a089\u00a01234567",
        "+49 (0)89 / 123 456-78",
    ],
    "iban": [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "gb82west12345698765432",
        "pay to FR1420041010050500013M02606 today",
    ],
    "card": [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "378282246310005",
        "3782 822463 10005",
        "card 6011111111111117.",
    ],
}
INNOCENT = [
    *("0123456789abcdef0123456789abcdef", "12345678123456781234567812345678"),
    *("550e8400-e29b-41d4-a716-446655440000", "12345678-1234-1234-1234-123456789012"),
    *("2026-03-02", "2026-03-02T12:00:00Z", "2026-03-02T12:00:00.123456+00:00"),
    *(
        "2011/10/01 00:38:44.546000+02:00",
        "01.02.2026",
        "01/02/2026 - 03/04/2026",
        "1/2/2026 10:00",
    ),
    *("20260302120000", "12:30:00", "1,234,567.89", "1.234.567,89", "1 234 567", "10 000 000 000"),
    *("0", "-12345678", "+5", "+12.345.678,90", "+0.12345678", "0.5 1234567", "1e10"),
    *("1000000", "1234567890", "12345678901", "1700000000000", "1700000000000000", "0001234567"),
    *("0068d00000AbCdEAAV", "0015e00000AbCdE", "00000000000000000017", "world:touch:123456"),
    *("closed_won", "A_SUBMITTED", "192.168.100.200", "v1.2.3.4", "978-3-16-148410-0"),
    *("INV-2024-0012345", "1000-5000", "50 - 100 employees", "3@1.50", "@acme", "a @ b"),
    *("0350-8270-5433-000", "3498-6732-5433-003"),
    *("DE00370400440532013000", "4111111111111112", ""),
]


def classes(text: str) -> set[str]:
    """Return the classes found in one string."""
    return {name for name, mask in identifying.found(pa.array([text])).items() if mask[0]}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in FINDS.items() for t in texts])
def test_a_planted_find_is_found_as_what_it_is_and_replaced(name: str, text: str) -> None:
    assert classes(text) == {name}
    clean = identifying.scrubbed(pa.array([text]))[0].as_py()
    assert f"[{name}]" in clean
    assert classes(clean) == set()


@pytest.mark.parametrize("text", INNOCENT)
def test_ids_times_and_amounts_are_no_finds(text: str) -> None:
    assert classes(text) == set()


@pytest.mark.parametrize("name", identifying.CLASSES)
def test_without_its_rule_a_class_would_pass(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delitem(identifying.SPANS, name)
    assert not any(name in classes(text) for text in FINDS[name])


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.uuids() | st.integers(0, 2**128 - 1))
def test_random_ids_are_no_finds(value: uuid.UUID | int) -> None:
    texts = [str(value), value.hex] if isinstance(value, uuid.UUID) else [f"{value:032x}"]
    assert all(classes(text) == set() for text in texts)


def test_only_the_find_is_replaced_and_the_rest_kept_in_place() -> None:
    texts = pa.chunked_array([["ask jo@acme.com or +49 89 1234567!", None], ["fine", "fine"]])
    expected = ["ask [e-mail] or [phone]!", None, "fine", "fine"]
    assert identifying.scrubbed(texts).to_pylist() == expected


def test_text_without_finds_is_not_copied() -> None:
    texts = pa.array(["fine", None, "also 2026-03-02"])
    assert identifying.scrubbed(texts) is texts


def test_masks_follow_rows_and_nulls() -> None:
    texts = pa.array(["jo@acme.com", None, "", "x", "jo@acme.com"])
    mask = identifying.found(texts, ["e-mail"])["e-mail"]
    assert np.flatnonzero(mask).tolist() == [0, 4]


def test_only_the_classes_asked_for_are_looked_for() -> None:
    assert set(identifying.found(pa.array(["+14155552671"]), ["e-mail"])) == {"e-mail"}
