"""The calibrator is monotone, the same to the last bit in any company, and asks for its rules."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from serving import calibrator
from serving.calibrator import Bend, Calibrator, Knot

CURVE = (
    Bend(score=-2.0, logit=-1.7),
    Bend(score=-0.1, logit=-0.3),
    Bend(score=0.4, logit=-0.3),
    Bend(score=3.1, logit=2.9),
)
BAND = (
    Knot(probability=0.0, low=0.0, high=0.2),
    Knot(probability=0.2, low=0.1, high=0.3),
    Knot(probability=0.6, low=0.5, high=0.8),
    Knot(probability=1.0, low=0.5, high=1.0),
)
WHOLE = Calibrator(slope=0.9, intercept=-0.1, per_point=1 / 30, curve=CURVE, band=BAND)


@given(st.floats(-1e4, 1e4))
@settings(max_examples=80)
def test_the_sigmoid_is_right_and_inside_zero_and_one(logit: float) -> None:
    """Within three roundings of the exact value wherever it is not cut off."""
    found = calibrator.sigmoid(np.array([logit]))[0]
    clipped = min(max(logit, -30.0), 30.0)
    assert found == pytest.approx(1 / (1 + math.exp(-clipped)), rel=1e-15)
    assert 0 < found < 1


def test_the_sigmoid_never_falls() -> None:
    """A higher margin never has a lower probability."""
    logits = np.sort(np.random.default_rng(5).normal(size=200_000).astype(np.float32) * 8)
    assert (np.diff(calibrator.sigmoid(logits.astype(float))) >= 0).all()


def test_a_curve_goes_straight_from_bend_to_bend_and_level_outside() -> None:
    """As linear interpolation says, up to rounding."""
    bent = Calibrator(curve=CURVE)
    margin = np.linspace(-5, 5, 1001)
    wanted = np.interp(margin, [b.score for b in CURVE], [b.logit for b in CURVE])
    assert bent.logit(margin) == pytest.approx(wanted, abs=1e-15)
    assert Calibrator(curve=CURVE[:1]).logit(margin).tolist() == [-1.7] * 1001


def test_a_probability_never_falls_with_the_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by a rounding, where one piece of a curve ends and the next begins either."""
    falls = _falls()
    assert falls == 0
    through = calibrator._Line.through

    def endless(at: list[float], values: list[float]) -> calibrator._Line:
        return replace(through(at, values), end=np.full(len(at), np.inf))

    monkeypatch.setattr(calibrator._Line, "through", endless)
    assert _falls() > 0  # the end of a piece is what holds it back


def _falls() -> int:
    """Return how many of many curves fall at their second bend, just above 0, where a score and the
    one before it are as far from the first bend.
    """
    rng, fell = np.random.default_rng(3), 0
    for start, level in rng.uniform(1, 2, (300, 2)).tolist():
        bends = [(-start, 0.0), (1e-12, level), (1.0, level)]
        curve = Calibrator(curve=tuple(Bend(score=x, logit=y) for x, y in bends))
        around = np.array([np.nextafter(1e-12, -1), 1e-12])
        fell += bool(np.diff(curve.logit(around))[0] < 0)
    return fell


def test_a_row_is_calibrated_alike_alone_and_in_any_company() -> None:
    """To the last bit."""
    rng = np.random.default_rng(1)
    margin, points = rng.normal(size=999).astype(np.float32) * 3, rng.integers(-40, 90, 999)
    wanted = WHOLE.probability(margin, points)
    for size in (1, 2, 7, 64, 257):
        parts = [
            WHOLE.probability(margin[i : i + size], points[i : i + size])
            for i in range(0, 999, size)
        ]
        assert np.concatenate(parts).tobytes() == wanted.tobytes()
    low, high = WHOLE.intervals(wanted)
    assert [WHOLE.interval(p) for p in wanted] == list(zip(low, high, strict=True))


def test_points_move_the_log_odds_and_must_be_given_where_they_count() -> None:
    """Thirty points are worth one."""
    plain = replace(WHOLE, curve=())
    margin = np.zeros(2, np.float32)
    assert plain.logit(margin, np.array([0, 30])) == pytest.approx([-0.1, 0.9])
    with pytest.raises(calibrator.PointsMissing, match="must have the points of each row"):
        WHOLE.probability(margin)
    assert replace(plain, per_point=0.0).logit(margin) == pytest.approx([-0.1, -0.1])


def test_an_interval_lies_between_knots_and_holds_the_probability() -> None:
    """Straight between knots; widened to the probability where the knots leave it out."""
    assert WHOLE.interval(0.4) == pytest.approx((0.3, 0.55))
    assert WHOLE.interval(0.2) == (0.1, 0.3)
    assert WHOLE.interval(0.01) == pytest.approx((0.005, 0.205))
    assert replace(WHOLE, band=BAND[1:2]).interval(0.9) == (0.1, 0.9)
    assert Calibrator().interval(0.3) == (0.0, 1.0)
    assert Calibrator().intervals(np.empty(0))[0].shape == (0,)


def test_a_calibrator_survives_json_to_the_last_bit() -> None:
    """It travels in the manifest as plain numbers."""
    adapter = TypeAdapter(Calibrator)
    again = adapter.validate_json(adapter.dump_json(WHOLE))
    assert again == WHOLE
    margin = np.linspace(-4, 4, 99)
    points = np.full(99, 7)
    assert (again.probability(margin, points) == WHOLE.probability(margin, points)).all()
