"""Evidence that may be looked at at any time: seldom wrong, soon right, and the same in any cut."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.releases import calibrated, odds, pairs, shift
from serving.releases.evidence import Evidence
from serving.releases.sighting import Matured, Overridden, Sighting
from serving.releases.wealth import Wealth
from tests.serving.simulated_releases import leads, matured, overrides, release, sightings

ALPHA = 0.05
PLAN = release().plan


def _crossed(curve: np.ndarray, alpha: float) -> int | None:
    """Return after which event the evidence first spoke."""
    above = np.flatnonzero(curve >= np.log(1 / alpha))
    return int(above[0]) + 1 if len(above) else None


def _which(rng: np.random.Generator, ratio: float, share: float, events: int) -> int | None:
    of_candidate = share * ratio / (share * ratio + 1 - share)
    flags = rng.random(events) < of_candidate
    gains = odds.gains(flags, np.full(events, share), odds.HIGHER)
    return _crossed(Wealth.of(odds.BETS).after(gains)[1], ALPHA)


def test_evidence_is_one_on_average_while_nothing_is_wrong() -> None:
    """What is bet on events of a fair lot is worth one on average; on one that is not, more."""
    for share in (0.01, 0.05, 0.5):
        both = odds.gains(np.array([True, False]), np.full(2, share), odds.EITHER)
        fair = np.exp(both[0]) * share + np.exp(both[1]) * (1 - share)
        assert fair == pytest.approx(np.ones(len(odds.EITHER)))
    chance = np.array([0.3])
    worth = [np.exp(calibrated.gains(chance, np.array([won])))[0] for won in (True, False)]
    assert worth[0] * 0.3 + worth[1] * 0.7 == pytest.approx(np.ones(len(calibrated.CLAIMS)))


def test_it_is_seldom_wrong_however_often_one_looks() -> None:
    """At most alpha of the releases without a fault; looking at a fixed limit is far above that."""
    rng = np.random.default_rng(1)
    found = [_which(rng, 1.0, 0.05, 2_000) for _ in range(300)]
    assert sum(each is not None for each in found) <= 300 * ALPHA
    peeked = 0
    for _ in range(100):  # the mutant: a test for one look, at every event
        hits = np.cumsum(rng.random(2_000) < 0.5)
        n = np.arange(1, 2_001)
        peeked += bool((np.abs(hits - n / 2) / np.sqrt(n / 4) > 1.96)[20:].any())
    assert peeked > 100 * ALPHA * 3


def test_it_is_soon_right() -> None:
    """Ten times the errors at 5 %: after some tens of errors."""
    rng = np.random.default_rng(2)
    found = [_which(rng, 10.0, 0.05, 2_000) for _ in range(100)]
    assert None not in found
    assert float(np.median([each or 0 for each in found])) <= 20


def test_needed_is_what_a_right_bet_takes() -> None:
    """The expected number of events is near the median of a bet on the ratio alone."""
    rng = np.random.default_rng(3)
    count = odds.needed(0.5, 0.8, ALPHA)
    taken = []
    for _ in range(200):
        flags = rng.random(6_000) < 0.4 / 0.9
        gains = odds.gains(flags, np.full(6_000, 0.5), np.array([0.8]))
        taken.append(_crossed(Wealth.of(1).after(gains)[1], ALPHA) or 6_000)
    assert 0.7 * count < float(np.mean(taken)) < 1.3 * count


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.data())
def test_no_cut_changes_a_bit(flags: list[bool], data: st.DataObject) -> None:
    """Folded at once or piece by piece: equal values, so a judge that was killed goes on as if it
    had not been.
    """
    gains = odds.gains(np.array(flags), np.full(len(flags), 0.05), odds.HIGHER)
    whole, curve = Wealth.of(odds.BETS).after(gains)
    cut = data.draw(st.integers(0, len(flags)))
    first, one = Wealth.of(odds.BETS).after(gains[:cut])
    both, two = first.after(gains[cut:])
    assert both == whole
    assert np.concatenate([one, two]).tolist() == curve.tolist()
    assert whole.log == curve[-1]


def test_an_account_counts_once() -> None:
    """One that fails often says as little as one that failed once; else it would be an alarm."""
    one = sightings(np.random.default_rng(4), 1, share=0.05, rates=(1.0, 1.0))[0]
    loud = [replace(one, is_candidate=True, account="loud")] * 50
    seen, each = Evidence(), Evidence()
    seen.saw(PLAN, loud)
    assert seen.which["errors"].events == 1
    assert not seen.which["errors"].exceeds(0.001)
    each.saw(PLAN, [replace(one, account=f"a{n}") for n, one in enumerate(loud)])  # the mutant
    assert each.which["errors"].exceeds(0.001)


def test_a_share_of_all_or_nothing_says_nothing() -> None:
    """At 0 % and at 100 % there is nobody to compare with; only the ceiling speaks."""
    seen = Evidence()
    rng = np.random.default_rng(5)
    seen.saw(PLAN, sightings(rng, 200, share=1.0, rates=(0.0, 0.6), step=5))
    assert seen.which["errors"].events == 0
    assert seen.above["errors"].exceeds(PLAN.guards.errors.alpha / 2)
    well = Evidence()
    well.saw(PLAN, sightings(rng, 200, share=1.0, rates=(0.0, 0.05), step=5))
    assert not well.above["errors"].exceeds(0.5)


def test_a_wrong_split_is_found_and_a_right_one_is_not() -> None:
    """52 to 48 within 20,000 accounts, mostly: by chance one in twenty looks fair till then."""
    rng = np.random.default_rng(6)

    def crossed(chance: float) -> int | None:
        gains = odds.gains(rng.random(20_000) < chance, np.full(20_000, 0.5), odds.EITHER)
        return _crossed(Wealth.of(len(odds.EITHER)).after(gains)[1], 0.001)

    assert sum(crossed(0.52) is not None for _ in range(40)) >= 30
    assert all(crossed(0.50) is None for _ in range(50))


@pytest.mark.parametrize(
    ("worse", "most"),
    [({"noise": 0.5}, 4_500), ({"slope": 1.5}, 3_500), ({"shift": 0.3}, 8_000)],
    ids=["noise", "too sure", "too high"],
)
def test_a_worse_model_is_found_by_pairs(worse: dict[str, float], most: int) -> None:
    """In some thousands of leads; one that is as good is not."""
    rng = np.random.default_rng(7)
    crossed = []
    for _ in range(20):
        apart = pairs.differences(*leads(rng, 12_000, **worse))
        crossed.append(_crossed(Wealth.of(16).after(pairs.gains(apart))[1], ALPHA) or 12_000)
    assert float(np.median(crossed)) <= most


def test_an_equal_model_is_seldom_rejected() -> None:
    """Two models with as much noise of their own: neither is worse."""
    rng = np.random.default_rng(8)
    rejected = 0
    for _ in range(100):
        logit = rng.normal(-2.55, 1.0, 3_000)
        won = rng.random(3_000) < 1 / (1 + np.exp(-logit))
        one, other = (1 / (1 + np.exp(-logit - rng.normal(0, 0.5, 3_000))) for _ in range(2))
        gains = pairs.gains(pairs.differences(one, other, won))
        rejected += Wealth.of(16).after(gains)[0].exceeds(ALPHA)
    assert rejected <= 100 * ALPHA


@given(st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_no_bet_loses_all(one: float, other: float, won: bool) -> None:
    """Whatever the scores and the outcome, so that evidence stays a finite number."""
    apart = pairs.differences(np.array([one]), np.array([other]), np.array([won]))
    assert np.abs(apart)[0] <= pairs.FARTHEST + 1e-9
    for margin in (0.0, 0.1, -0.1):
        assert np.isfinite(pairs.gains(apart, margin=margin)).all()


def test_a_model_that_is_not_calibrated_is_found() -> None:
    """And its better half is not blamed."""
    rng = np.random.default_rng(9)
    seen = Evidence()
    told = zip(*leads(rng, 4_000, slope=1.5), strict=True)
    seen.paired(PLAN, matured(told))
    assert seen.off["candidate"].exceeds(0.01)
    assert not seen.off["stable"].exceeds(0.01)
    assert seen.worse.exceeds(ALPHA)
    assert not seen.not_worse.exceeds(ALPHA)


def test_the_bound_of_a_shift_is_below_it() -> None:
    """Equal distributions are not apart; of different ones less is told than is."""
    rng = np.random.default_rng(10)
    same = [np.bincount(rng.integers(0, 50, 3_000), minlength=50).tolist() for _ in range(2)]
    assert shift.apart(*same, 0.01) == 0.0
    low = np.bincount(rng.integers(0, 25, 3_000), minlength=50).tolist()
    assert 0.2 < shift.apart(low, same[0], 0.01) < 0.5
    assert shift.apart([0] * 50, low, 0.01) == 0.0


def test_fewer_outcomes_of_the_candidate_are_found() -> None:
    """Half the rate, at half the accounts."""
    rng = np.random.default_rng(11)
    seen = Evidence()
    arms = rng.random(4_000) < 0.5
    won = rng.random(4_000) < np.where(arms, 0.05, 0.1)
    told = enumerate(zip(arms.tolist(), won.tolist(), strict=True))
    seen.matured(
        [
            Matured(account=str(n), is_candidate=arm, share=0.5, outcome=outcome)
            for n, (arm, outcome) in told
        ]
    )
    assert seen.lower.exceeds(ALPHA)


def test_an_evidence_is_a_number_one_can_read() -> None:
    """The logarithm of a sum of bets that are far apart."""
    held, _ = Wealth.of(2).after(np.array([[-2000.0, 3.0]]))
    assert exp(held.log) == pytest.approx(exp(3.0) / 2)


def test_sightings_without_a_score_do_not_count_as_scores() -> None:
    """The rules answered: there is nothing to compare."""
    seen = Evidence()
    one = sightings(np.random.default_rng(12), 1, share=0.5, rates=(0.0, 0.0))[0]
    scored: Sighting = replace(one, chance=1.0, account="b")
    seen.saw(PLAN, [one, scored])
    assert [sum(map(sum, arms.values())) for arms in seen.scores.values()] == [1]
    assert sum(seen.accounts.values()) == 2


def test_a_lead_counts_once_however_often_it_is_scored() -> None:
    """Two models that are as good: with each lead scored twenty times one would soon be undone."""
    rng = np.random.default_rng(13)
    logit = np.repeat(rng.normal(-2.55, 1.0, 400), 20)
    won = np.repeat(rng.random(400) < 1 / (1 + np.exp(-logit[::20])), 20)
    one, other = (1 / (1 + np.exp(-logit - np.repeat(rng.normal(0, 0.5, 400), 20))) for _ in "ab")
    told = list(zip(one, other, won, strict=True))
    names = [f"lead-{n // 20}" for n in range(len(told))]
    seen = Evidence()
    seen.paired(PLAN, [replace(p, lead=n) for p, n in zip(matured(told), names, strict=True)])
    assert seen.pairs == 400


def test_what_comes_from_one_arm_alone_costs_no_account_its_say() -> None:
    """Seen at 0 %, an account still counts where both arms have some."""
    one = sightings(np.random.default_rng(14), 1, share=0.5, rates=(1.0, 1.0))[0]
    seen = Evidence()
    seen.saw(PLAN, [replace(one, share=0.0, is_candidate=False, chance=0.1)])
    assert (seen.which["errors"].events, seen.accounts, seen.scores) == (0, {}, {})
    seen.saw(PLAN, [replace(one, share=0.5, chance=0.1)])
    assert (seen.which["errors"].events, sum(seen.accounts.values())) == (1, 1)


def test_an_override_counts_for_its_guard_alone() -> None:
    """Neither for the split nor for scores, steps and silence; in any cut, before the decisions or
    after them.
    """
    rng = np.random.default_rng(15)
    said = overrides(rng, 60, share=0.05, ratio=3.0)
    decided = sightings(rng, 60, share=0.05, rates=(0.1, 0.1))
    alone, before, after = Evidence(), Evidence(), Evidence()
    alone.overridden(said)
    assert alone.which["overrides"].events == 60
    assert replace(alone, which={}, counted={}) == Evidence()
    before.overridden(said)
    before.saw(PLAN, decided)
    after.saw(PLAN, decided)
    after.overridden(said[:25])
    after.overridden(said[25:])
    assert before == after
    assert after.which["overrides"] == alone.which["overrides"]
    plain = Evidence()
    plain.saw(PLAN, decided)
    assert (after.accounts, after.which["split"]) == (plain.accounts, plain.which["split"])


def test_an_account_that_is_overridden_often_counts_once() -> None:
    """By its first override; where only one arm had accounts, it says nothing and may still."""
    one = Overridden(account="loud", is_candidate=True, share=0.05)
    seen, each = Evidence(), Evidence()
    seen.overridden([replace(one, share=1.0), replace(one, share=0.0)])
    assert seen.which["overrides"].events == 0
    seen.overridden([one] * 50)
    assert seen.which["overrides"].events == 1
    assert not seen.which["overrides"].exceeds(0.0004)
    each.overridden([replace(one, account=f"a{n}") for n in range(50)])  # the mutant
    assert each.which["overrides"].exceeds(0.0004)
