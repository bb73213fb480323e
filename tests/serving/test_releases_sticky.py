"""Accounts keep their arm: whatever process asks, while a candidate grows, and when it is undone.
Traffic that loses accounts of one arm is noticed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import count, islice, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import chi2

from cluster.settings import ROOT
from serving.releases import assignment, odds
from serving.releases.evidence import SPLIT, Evidence
from serving.releases.release import Release
from serving.releases.sighting import Sighting
from serving.releases.wealth import Wealth
from tests.drills import mostly
from tests.serving.simulated_releases import BEGAN, release

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type Places = NDArray[np.int64]

BEGUN = release()
FEW, MANY = 20_000, 200_000  # accounts
RAMP = tuple(release(step=n) for n in range(1, len(BEGUN.plan.steps)))  # 1, 5, 25, 50, 100 %
UNITS = 20_000  # within which a split is noticed
KEPT = 0.48 / 0.52  # of the candidate's accounts, that 52 of 100 are the stable one's
_ASK = """
import sys
import numpy as np
from serving.releases.assignment import PLACES, place
salt, name, count, is_mutant = sys.argv[1:]
draw = (lambda *said: hash(said) % PLACES) if is_mutant == "mutant" else place
places = [draw(salt, name, f"account-{n:06d}") for n in range(int(count))]
sys.stdout.buffer.write(np.array(places, np.int64).tobytes())
"""


def _account(number: int) -> str:
    return f"account-{number:06d}"


def _places(accounts: int) -> Places:
    """Return where this process puts the accounts."""
    drawn = [assignment.place(BEGUN.salt, BEGUN.id, _account(n)) for n in range(accounts)]
    return np.array(drawn, np.int64)


def _disagreeing(accounts: int, processes: int, how: str = "") -> int:
    """Return how many answers of other processes, each with a seed of its own for `hash`, are not
    those of the first.
    """
    told = [_asked(seed, accounts, how) for seed in range(1, processes + 1)]
    first = told[0] if how else _places(accounts)
    return sum(int((each != first).sum()) for each in told)


def _asked(seed: int, accounts: int, how: str) -> Places:
    environ = {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", _ASK, BEGUN.salt, BEGUN.id, str(accounts), how]
    ran = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, check=True)
    return np.frombuffer(ran.stdout, np.int64)


def _within(places: Places, at: Release) -> NDArray[np.bool_]:
    """Return whose answers are the candidate's."""
    return np.array([assignment.is_within(place, at.places) for place in places.tolist()])


@pytest.mark.parametrize(("accounts", "processes"), mostly([(2_000, 2), (MANY, 10)]))
def test_processes_agree_on_every_account(accounts: int, processes: int) -> None:
    """And with Python's own hash they do not (the mutant)."""
    assert _disagreeing(accounts, processes) == 0
    assert _disagreeing(min(accounts, 2_000), 2, "mutant") > 1_000


@pytest.mark.parametrize("accounts", mostly([FEW, MANY]))
def test_nobody_leaves_a_candidate_that_grows(accounts: int) -> None:
    """Each step has its share of the accounts, by the chi-squared test; undone, it has none."""
    places = _places(accounts)
    ramp = [_within(places, at) for at in RAMP]
    assert [at.places for at in RAMP] == [100, 500, 2_500, 5_000, 10_000]
    assert all(not (before & ~after).any() for before, after in pairwise(ramp))
    assert all(_chance(mine, at) > 0.001 for mine, at in zip(ramp, RAMP, strict=True))
    for at in (*RAMP, RAMP[-1].advanced("well", BEGAN)):
        assert isinstance(at, Release)
        undone = at.rolled_back("a complaint")
        assert isinstance(undone, Release)
        assert not _within(places, undone).any()


def test_with_a_draw_per_step_some_leave() -> None:
    """The mutant: whoever draws anew at each step; and who favours low numbers misses the share."""
    drawn = [assignment.place("s", f"step {n}", _account(a)) for n in (1, 2) for a in range(FEW)]
    before, after = np.array(drawn).reshape(2, -1)
    assert (_within(before, RAMP[1]) & ~_within(after, RAMP[2])).any()
    assert _chance(_within(_places(FEW) * 9 // 10, RAMP[2]), RAMP[2]) < 0.001


def _chance(mine: NDArray[np.bool_], at: Release) -> float:
    """Return how likely a share so far from the weight is."""
    share = at.places / assignment.PLACES
    expected = np.array([share, 1 - share]) * len(mine)
    found = np.array([mine.sum(), (~mine).sum()])
    is_any = expected > 0
    apart = (found - expected)[is_any] ** 2 / expected[is_any]
    return float(chi2.sf(apart.sum(), df=1)) if is_any.all() else float(apart.sum() == 0)


def _noticed(keep: Callable[[int], bool], first: int, units: int) -> int | None:
    """Return after how many accounts the split guard of a release at half speaks, if it does: of
    those from the first on, the candidate's only where they are kept.
    """
    half, found = release(step=4), Evidence()
    seen = (each for n in count(first) if (each := _seen(half, n, keep)))
    for cut in range(0, units, 1_000):
        found.saw(half.plan, list(islice(seen, 1_000)))
        if found.which[SPLIT].exceeds(half.plan.guards.split.alpha):
            return cut + 1_000
    return None


def _seen(at: Release, number: int, keep: Callable[[int], bool]) -> Sighting | None:
    place = assignment.place(at.salt, at.id, _account(number))
    is_its = assignment.is_within(place, at.places)
    if is_its and not keep(number):
        return None
    return Sighting(
        account=_account(number),
        is_candidate=is_its,
        share=at.places / assignment.PLACES,
        step=at.step,
        at=BEGAN + timedelta(milliseconds=number),
        chance=None,
    )


@pytest.mark.parametrize("times", mostly([1, 20]))
def test_a_split_of_52_to_48_is_noticed(times: int) -> None:
    """Within 20,000 accounts as a rule, and within 40,000 in any case."""
    lost = np.random.default_rng(1).random(times * 200_000) >= KEPT
    found = [_noticed(lambda n: not lost[n], each * 100_000, 2 * UNITS) for each in range(times)]
    assert None not in found
    assert float(np.median([each or 0 for each in found])) <= UNITS


@pytest.mark.parametrize("times", mostly([12, 1_000]))
def test_an_even_split_is_not_alarmed(times: int) -> None:
    """Not one of so many, each of 20,000 accounts and looked at after every one; without the price
    of looking again and again some are (the mutant).
    """
    rng, alpha = np.random.default_rng(2), BEGUN.plan.guards.split.alpha
    even, alarms = np.full(UNITS, 0.5), {"sure": 0, "peeking": 0}
    for _ in range(times):
        flags = rng.random(UNITS) < 0.5
        held, _ = Wealth.of(len(odds.EITHER)).after(odds.gains(flags, even, odds.EITHER))
        alarms["sure"] += held.exceeds(alpha)
        n = np.arange(1, UNITS + 1)
        apart = np.abs(np.cumsum(flags) - n / 2) / np.sqrt(n / 4)
        alarms["peeking"] += bool((apart > 2.58)[100:].any())  # at 0.01, of one look
    assert alarms["sure"] == 0
    assert alarms["peeking"] > 0.05 * times
