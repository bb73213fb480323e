"""Who meets which arm: the same in every process, in proportion, and never taken back."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from cluster.settings import ROOT
from serving.releases import assignment

ACCOUNTS = [f"account-{n:06d}" for n in range(20_000)]
STEPS = (100, 500, 2_500, 5_000, 10_000)
_CHILD = """
import hashlib
from serving.releases import assignment
places = [assignment.place("s", "r", f"account-{n:06d}") for n in range(20_000)]
print(hashlib.sha256(repr(places).encode()).hexdigest())
"""


def _places(name: str = "r") -> list[int]:
    return [assignment.place("s", name, account) for account in ACCOUNTS]


def _of_child(seed: int, code: str = _CHILD) -> str:
    env = {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_processes_agree() -> None:
    """Whatever they hash strings with; with Python's own hash they do not (the mutant)."""
    here = hashlib.sha256(repr(_places()).encode()).hexdigest()
    assert {_of_child(seed) for seed in (1, 2)} == {here}
    mutant = "print([hash(('s', 'r', str(n))) % 10_000 for n in range(100)])"
    assert _of_child(1, mutant) != _of_child(2, mutant)


def test_every_weight_is_kept() -> None:
    """In proportion, by the chi-squared test."""
    places = np.array(_places())
    for weight in STEPS[:-1]:
        share, found = weight / assignment.PLACES, int((places < weight).sum())
        expected = np.array([share, 1 - share]) * len(places)
        told = np.array([found, len(places) - found])
        assert chi2.sf(float(((told - expected) ** 2 / expected).sum()), df=1) > 0.001


def test_nobody_leaves_the_candidate_as_it_grows() -> None:
    """And another release draws anew."""
    places = _places()
    within = [{n for n, p in enumerate(places) if assignment.is_within(p, w)} for w in STEPS]
    assert all(before <= after for before, after in pairwise(within))
    other = _places("another")
    both = sum(one < 5_000 and two < 5_000 for one, two in zip(places, other, strict=True))
    assert abs(both / len(places) - 0.25) < 0.02


@given(
    st.integers(0, assignment.PLACES - 1),
    st.lists(st.integers(0, 3_000), min_size=1, max_size=3),
)
def test_arms_lie_side_by_side(place: int, weights: list[int]) -> None:
    """Each place has one arm, and each arm as many places as its weight."""
    found = assignment.arm(place, weights)
    ends = np.cumsum(weights)
    assert (found is None) == (place >= ends[-1])
    if found is not None:
        assert ends[found] - weights[found] <= place < ends[found]
