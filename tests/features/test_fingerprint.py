"""Fingerprints are the published hash, whatever the shape of the column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from features import fingerprint

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=80)), min_size=1, max_size=20)


def _plain(text: str | None) -> int:
    return int(fingerprint.ABSENT) if text is None else xxhash.xxh64_intdigest(text.encode())


@given(TEXTS)
@settings(max_examples=80, deadline=None)
def test_a_text_has_the_hash_that_everyone_computes(texts: list[str | None]) -> None:
    """Oracle: the reference implementation."""
    assert fingerprint.of_cells(pa.array(texts, pa.string())).tolist() == [
        _plain(text) for text in texts
    ]


@given(TEXTS, st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_slices_chunks_and_dictionaries_have_equal_fingerprints(
    texts: list[str | None], cut: int
) -> None:
    """The layout in memory is not content."""
    plain = pa.array(texts, pa.string())
    expected = fingerprint.of_cells(plain)
    chunked = pa.chunked_array([plain[:cut], plain[cut:]])
    for column in (chunked, plain.dictionary_encode(), chunked.dictionary_encode()):
        assert np.array_equal(fingerprint.of_cells(column), expected)
    assert np.array_equal(fingerprint.of_cells(plain[cut:]), expected[cut:])


@given(st.integers(1, 9), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_a_row_is_the_hash_over_its_words(columns: int, seed: int) -> None:
    """Little-endian words, in the order of the columns."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(-(2**63), 2**63 - 1, (4, columns))
    found = fingerprint.of_rows([pa.array(numbers[:, place]) for place in range(columns)])
    for row, word in zip(numbers, found.tolist(), strict=True):
        cells = [xxhash.xxh64_intdigest(int(n).to_bytes(8, "little", signed=True)) for n in row]
        whole = b"".join(cell.to_bytes(8, "little") for cell in cells)
        assert word == xxhash.xxh64_intdigest(whole)


def test_absent_is_not_empty() -> None:
    """A null and an empty text are different content."""
    empty, absent = fingerprint.of_cells(pa.array(["", None])).tolist()
    assert empty != absent == int(fingerprint.ABSENT)


def test_words_that_recur_are_among_those_that_may() -> None:
    """None is missed, and few others are named."""
    rng = np.random.default_rng(4)
    words = rng.integers(0, 1 << 63, 50_000).astype(np.uint64)
    words[::50] = words[1::50]
    found = fingerprint.recurring(words)
    values, counts = np.unique(words, return_counts=True)
    several = np.isin(words, values[counts > 1])
    assert found[several].all()
    assert found[~several].mean() < 0.1
    assert not len(fingerprint.recurring(words[:0]))
