"""From a pilot to all: what a tenth of the units gained, put through the queue, says what nine
tenths will gain; scaled by nine it does not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from serving.forecast import growth
from serving.forecast.desks import FIFO, Desks
from serving.forecast.kernel import Span
from serving.forecast.levers import Levers
from tests.serving import small_funnels
from tests.serving.small_funnels import Case, case, run

if TYPE_CHECKING:
    from serving.forecast.given import Outcome

STEPS, ARRIVING, HANDS = 40, 30.0, 12
PLANTED = math.log(1.9)


def lever(rate: float, log_ratio: float, sd: float) -> Levers:
    """Return outreach to all, by hands."""
    one, whole = np.ones(1), np.ones((1, 1), bool)
    return Levers(
        stages=whole, strata=whole, groups=whole, parts=np.ones((1, 3), bool),
        first=np.zeros(1, np.int64), last=np.full(1, STEPS), rate=rate * one,
        log_ratio=log_ratio * one, log_ratio_sd=sd * one, contacted=0 * one,
        lasts=np.full(1, 4), saturation=0 * one, unsubscribe=0 * one, share=np.ones((1, 1, 1)),
        at_once=np.zeros(1, bool), once=np.zeros(1, bool), stalled=np.zeros(1, np.int64),
        lost_log_ratio=0 * one, lost_log_ratio_sd=0 * one, worth=one, tires=one, decay=0.8,
    )  # fmt: skip


def company(seed: int, draws: int, hands: int = HANDS) -> Case:
    """Return a company of one stage in which some are won, some lost, and most wait."""
    base, zeros = case(0, units=0, draws=draws, steps=STEPS), np.zeros(1, np.int64)
    moves = np.zeros((draws, 1, 1, 1, 3))
    moves[..., :] = [0.84, 0.08, 0.08]
    return {
        "start": base["start"],
        "arrivals": base["arrivals"]._replace(
            stage=zeros, share=np.ones((1, 1, 1)), desk_of=zeros
        ),
        "frame": base["frame"]._replace(stages=1, band_of=zeros, segment_of=zeros),
        "parameters": base["parameters"]._replace(
            moves=moves, rates=np.full((draws, STEPS, 1), ARRIVING), spread=np.zeros(1),
            shock_sd=np.zeros(2), tilt=np.zeros((STEPS, 1)), level=np.zeros((draws, STEPS)),
        ),
        "growth": growth.none(1, 1),
        "desks": Desks(np.full((1, STEPS), hands), np.array([FIFO]), zeros),
        "span": Span(seed, 0, draws, STEPS),
    }  # fmt: skip


def gained(seed: int, rate: float, *, sd: float = 0.0, hands: int = HANDS) -> np.ndarray:
    """Return what is won more than without the lever, on the same luck: int64 [draws]."""
    told = company(seed, 300, hands)
    without = run({**told, "levers": lever(0.0, PLANTED, sd)})
    return won(run({**told, "levers": lever(rate, PLANTED, sd)})) - won(without)


def won(outcome: Outcome) -> np.ndarray:
    """Return what is won by the end."""
    return np.asarray(outcome.won.sum(axis=(1, 2, 3)))


def test_a_pilot_through_the_queue_contains_the_truth_and_nine_times_it_does_not() -> None:
    truth = gained(99, 0.9).mean()  # what comes of nine tenths
    pilot = gained(1, 0.1).mean()
    told = gained(1, 0.9, sd=0.1)  # the effect is known from the pilot, to a tenth
    low, high = np.quantile(told, (0.05, 0.95))
    assert low < truth < high and told.mean() == pytest.approx(truth, rel=0.15)
    assert 9.0 * pilot > 1.5 * high, "hands are short: nine tenths cannot be reached"


def test_with_hands_enough_the_queue_would_tell_nothing() -> None:
    """Mutant: capacity is no limit, and the answer is far too high."""
    truth = gained(99, 0.9).mean()
    assert gained(1, 0.9, sd=0.1, hands=10_000).mean() > 1.5 * truth


def test_a_lever_without_effect_gains_exactly_nothing() -> None:
    told = company(3, 50)
    nothing = run({**told, "levers": lever(0.9, 0.0, 0.0)})
    usual = run({**told, "levers": lever(0.0, 0.0, 0.0)})
    assert nothing.contacts.any() and small_funnels.same(
        nothing._replace(contacts=usual.contacts, waiting=usual.waiting), usual
    )
    some = run({**told, "levers": lever(0.9, 0.01, 0.0)})
    assert won(some).sum() != won(usual).sum(), "the mutant: an effect of one hundredth"
