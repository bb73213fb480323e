"""The set of known ids agrees with Python's own set."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.known import KnownIds

IDS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=40)


@given(st.lists(IDS, max_size=5))
@settings(max_examples=80, deadline=None)
def test_new_ids_and_other_versions_are_told_apart(lots: list[list[tuple[int, int]]]) -> None:
    """Oracle: a set of pairs."""
    known, seen = KnownIds(), set[tuple[int, int]]()
    for lot in lots:
        halves = np.array(lot, np.uint64).reshape(-1, 2)
        is_new, has_other = known.add(halves[:, 0], halves[:, 1] + np.uint64(1))
        for place, pair in enumerate(lot):
            assert is_new[place] == (pair not in seen)
            assert has_other[place] == any(p[0] == pair[0] and p != pair for p in seen)
            seen.add(pair)
    assert len(known) == len(seen)


@given(IDS, st.lists(IDS, max_size=3))
@settings(max_examples=40, deadline=None)
def test_ids_of_the_base_are_known_and_stay_as_they_are(
    first: list[tuple[int, int]], lots: list[list[tuple[int, int]]]
) -> None:
    """Oracle: one set of ids without a base."""
    base, whole = KnownIds(), KnownIds()
    for each in (base, whole):
        each.add(*_halves(first))
    above, before = KnownIds(base=base), len(base)
    for lot in lots:
        for ours, theirs in zip(above.add(*_halves(lot)), whole.add(*_halves(lot)), strict=True):
            assert ours.tolist() == theirs.tolist()
    everything = _halves([(row, content) for row in range(8) for content in range(4)])
    assert above.holds(*everything).tolist() == whole.holds(*everything).tolist()
    assert above.holds_row(everything[0]).tolist() == whole.holds_row(everything[0]).tolist()
    assert len(base) == before


def _halves(ids: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    halves = np.array(ids, np.uint64).reshape(-1, 2)
    return halves[:, 0], halves[:, 1]


def test_it_grows_and_forgets_nothing() -> None:
    """More ids than the first table has slots."""
    rng = np.random.default_rng(3)
    halves = rng.integers(1, 2**63, (50_000, 2)).astype(np.uint64)
    known = KnownIds()
    for lot in np.array_split(halves, 7):
        assert known.add(lot[:, 0], lot[:, 1])[0].all()
    again, _ = known.add(halves[:, 0], halves[:, 1])
    assert not again.any()
    assert len(known) == len(halves)
