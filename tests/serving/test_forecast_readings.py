"""What the moves of a step tell of a shift that all units share."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from features import log
from serving.forecast import levels, moves, readings, seasons, swings, units
from serving.forecast.funnels import load_funnel
from serving.forecast.groups import Property
from serving.forecast.levels import Readings
from serving.forecast.person import Person

SALES = load_funnel("sales")
STAGES = len(SALES.stages)
TODAY = datetime(2026, 3, 5, tzinfo=UTC)
AT = int(TODAY.timestamp() * 1e6)
CHANCE = 0.2


def past(shift: np.ndarray, units: int, stage: int, seed: int = 0) -> Person:
    """Return as many units of a stage in each step, whose log odds are shifted alike."""
    step = np.repeat(np.arange(len(shift)), units)
    bounds = AT - SALES.step * np.arange(len(shift), -1, -1)
    chance = 1.0 / (1.0 + np.exp(-(np.log(CHANCE / (1.0 - CHANCE)) + shift[step])))
    goes = np.random.default_rng(seed).random(len(step)) < chance
    return Person(
        funnel=SALES,
        bounds=bounds,
        unit=np.arange(len(step)),
        step=step,
        begins=bounds[step],
        stage=np.full(len(step), stage),
        stayed=np.zeros(len(step), np.int64),
        then=stage + goes.astype(np.int64),
        is_first=np.zeros(len(step), bool),
    )


def read(rows: Person, tilt: float = 0.0) -> Readings:
    """Return the readings against a chance of CHANCE in every cell."""
    weights = np.zeros((1, STAGES, len(SALES.bands), STAGES + 2))
    for stage in range(STAGES):
        weights[0, stage, :, stage], weights[0, stage, :, stage + 1] = 1.0 - CHANCE, CHANCE
    tilts = np.full((len(rows.bounds) - 1, STAGES), tilt)
    return readings.read(rows, np.zeros(len(rows), np.int64), moves.shares(weights), tilts)


SHIFT = np.array([-1.5, -0.5, 0.0, 0.5, 1.5])


@pytest.mark.parametrize("stage", range(STAGES))
def test_a_shift_is_read_from_moves_of_its_kind(stage: int) -> None:
    found, kind = read(past(SHIFT, 4_000, stage)), int(stage == STAGES - 1)
    assert (np.abs(found.shift[:, kind] - SHIFT) < 4.0 / np.sqrt(found.weight[:, kind])).all()
    assert (found.weight[:, kind] > 100.0).all() and not found.weight[:, 1 - kind].any()


def test_what_the_calendar_adds_is_no_shift() -> None:
    found = read(past(SHIFT, 4_000, 1), tilt=0.5)
    assert found.shift[:, 0] == pytest.approx(SHIFT - 0.5, abs=0.15)


def test_readings_are_as_uncertain_as_is_said() -> None:
    off = []
    for seed in range(60):
        found = read(past(np.full(10, 0.4), 60, 1, seed))
        off.append((found.shift[:, 0] - 0.4) * np.sqrt(found.weight[:, 0]))
    # 600 readings: their sd is known to 3 %
    assert np.std(off) == pytest.approx(1.0, abs=0.1)


def test_a_step_in_which_nobody_moves_says_a_low_shift_of_little_weight() -> None:
    rows = past(np.full(3, -50.0), 10, 1)
    found = read(rows)
    assert np.isfinite(found.shift).all() and (found.shift[:, 0] < -0.5).all()
    assert (found.weight[:, 0] < 2.0).all()


@pytest.mark.parametrize("is_mutant", [False, True])
def test_readings_are_those_of_shocks_around_the_average(is_mutant: bool) -> None:
    """The chances are the averages of the steps that are read. Mutant: good steps, which tell
    more, are taken at their weight.
    """
    sd, found = 0.6, []
    for seed in range(60):
        shock = np.random.default_rng(seed).normal(0.0, sd, 60)
        told = read(past(shock, 12, 1, seed))
        if not is_mutant:
            told = readings.centred(told, sd**2, np.ones(60))
        weight = 1.0 / (sd**2 + 1.0 / told.weight[:, 0])
        found.append((weight @ told.shift[:, 0]) / weight.sum())
    # 3,600 shocks: their average is known to 0.012
    assert (abs(np.mean(found)) > 0.035) == is_mutant


def test_steps_that_count_little_hardly_move_the_centre() -> None:
    told = Readings(np.repeat([-1.0, 0.5], 10)[:, None], np.full((20, 1), 40.0))
    counts = np.repeat([1e-6, 1.0], 10)
    assert readings.centred(told, 0.1, counts).shift[-1, 0] == pytest.approx(0.0, abs=1e-4)


def test_the_end_of_a_quarter_is_told_from_the_rest() -> None:
    first = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1e6)
    weeks = seasons.swinging(first + SALES.step * np.arange(6), 7, 100.0)
    assert weeks[:, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]  # 22 and 29 March
    assert seasons.swinging(first + np.arange(6), 7, 1_000.0).shape == (6, 5)
    assert seasons.swinging(first + np.arange(6), 1, 1_000.0).shape == (6, 4)


QUARTERS = 6  # less than it takes to learn a season of the year


def late_quarters(seed: int) -> Person:
    """Return units of the last stage, which go forward more at the end of a quarter, beside others
    that do not.
    """
    steps = 13 * QUARTERS
    middles = AT - SALES.step * np.arange(steps, 0, -1) + SALES.step // 2
    ends = seasons.swinging(middles, 7, 100.0)[:, 0]
    one, other = past(0.0 * ends, 240, 1, seed), past(1.0 * ends, 60, STAGES - 1, seed + 1)
    both = {
        name: np.concatenate([getattr(one, name), getattr(other, name)])
        for name in ("step", "begins", "stage", "stayed", "then", "is_first")
    }
    return Person(funnel=SALES, bounds=one.bounds, unit=np.arange(len(both["step"])), **both)


@pytest.mark.parametrize("is_mutant", [False, True])
def test_the_end_of_a_quarter_is_not_added_to_averages_that_hold_it(
    is_mutant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a whole quarter the last stage goes on as it did. Mutant: columns are not told against
    their average, as readings are.
    """
    if is_mutant:
        monkeypatch.setattr(swings, "against_usual", lambda columns, _: columns)
    nobody = units.read(log.identified(log.CANDIDATE.empty_table()), SALES, TODAY)
    added = []
    for seed in range(0, 12, 2):
        rows = late_quarters(seed)
        stratum, faded = np.zeros(len(rows), np.int64), np.ones(len(rows))
        learnt = (stratum, moves.posterior(moves.counts(rows, stratum, 1)), faded)
        found = swings.fit(nobody, rows, learnt, Property(words=("",), levels=()), 13)
        level = levels.mean(found.level, found.calendar) + found.tilt[:, -1]
        added.append(level.mean())
    # 6 averages of 4,680 unit-steps: known to 0.013 together
    assert (np.mean(added) > 0.03) == is_mutant


def test_a_daily_funnel_without_a_year_has_no_effect() -> None:
    assert seasons.swinging(np.arange(6), 1, 100.0).shape == (6, 0)
