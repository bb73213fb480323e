"""What changes in time: chances that drift fade, and days of the week differ, past and ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features import log
from serving.forecast import experiment, fading, learning, levers, moves, seasons, swings, units
from serving.forecast.desks import Desks
from serving.forecast.experiment import Arm, Experiment
from serving.forecast.funnels import Funnel, load_funnel
from serving.forecast.groups import Property
from serving.forecast.person import Person

SALES = load_funnel("sales")
DAILY = SALES.model_copy(update={"step_days": 1, "amount": ()})
THURSDAY = datetime(2026, 3, 5, 18, tzinfo=UTC)  # steps begin in the evening
SUNDAY = 6
AHEAD = 4  # steps
NOBODY = Property(words=("",), levels=())


def past(chance: np.ndarray, units_: int = 80, seed: int = 0, funnel: Funnel = SALES) -> Person:
    """Return as many leads in each step, which go forward with the chance of the step."""
    step = np.repeat(np.arange(len(chance)), units_)
    at = int(THURSDAY.timestamp() * 1e6)
    bounds = at - funnel.step * np.arange(len(chance), -1, -1)
    count = np.zeros(len(step), np.int64)
    return Person(
        funnel=funnel,
        bounds=bounds,
        unit=np.arange(len(step)),
        step=step,
        begins=bounds[step],
        stage=count,
        stayed=count,
        then=(np.random.default_rng(seed).random(len(step)) < chance[step]).astype(np.int64),
        is_first=np.zeros(len(step), bool),
    )


def average(rows: Person, faded: np.ndarray) -> np.ndarray:
    """Return the learnt chance of each row to go forward."""
    stratum = np.zeros(len(rows), np.int64)
    return swings.average(rows, stratum, moves.posterior(moves.counts(rows, stratum, 1, faded)))


STEADY = np.full(104, 0.15)
CHANGED = np.where(np.arange(104) < 62, 0.3, 0.08)


def test_what_changed_is_learnt_from_late_and_what_did_not_from_all() -> None:
    """By chance alone some steady histories seem to change: most do not."""
    changed, steady = (
        [fading.half_life(past(chance, seed=seed), AHEAD) for seed in range(24)]
        for chance in (CHANGED, STEADY)
    )
    assert max(changed) <= 13.0
    assert np.median(steady) >= 26.0


def test_a_short_half_life_learns_the_chances_of_now() -> None:
    rows = past(CHANGED)
    late, all_ = (
        average(rows, each)[-1] for each in (fading.weights(rows, AHEAD), np.ones(len(rows)))
    )
    assert late == pytest.approx(0.08, abs=0.03) and all_ > 0.16


def test_the_last_step_counts_whole_and_one_half_life_ago_half() -> None:
    rows = past(CHANGED)
    weight, half = fading.weights(rows, AHEAD), int(fading.half_life(rows, AHEAD))
    assert weight[rows.step == 103] == pytest.approx(1.0)
    assert weight[rows.step == 103 - half] == pytest.approx(0.5)


def test_half_lives_are_days_whatever_the_step() -> None:
    daily = past(np.repeat(CHANGED, 7) / 7.0, units_=40, funnel=DAILY)
    assert fading.half_life(daily, 7 * AHEAD) in [
        float(d) for d in fading.HALF_LIVES_DAYS if d <= 91
    ]


def test_where_there_is_too_little_to_choose_by_nothing_fades() -> None:
    rows = past(CHANGED[58:73])
    assert fading.half_life(rows, 3) < np.inf
    assert fading.half_life(rows, AHEAD) == np.inf and (fading.weights(rows, AHEAD) == 1.0).all()


@pytest.mark.parametrize("is_mutant", [False, True])
def test_a_drift_is_no_shock(is_mutant: bool) -> None:
    """Mutant: nothing fades, so that what changed long ago seems to change from step to step."""
    rows = past(CHANGED, units_=200)
    faded = np.ones(len(rows)) if is_mutant else fading.weights(rows, AHEAD)
    week = np.zeros((len(SALES.stages), 7))
    sd, _ = swings.shocks(rows, average(rows, faded), week, NOBODY, faded)
    assert (sd[0] > 0.4) == is_mutant and (sd[0] < 0.2) != is_mutant


def test_shocks_are_found_though_the_past_fades() -> None:
    """The centre is learnt from the same few steps: so what is found is a little too small."""
    found = []
    for seed in range(8):
        shock = np.random.default_rng(seed).normal(0.0, 0.5, len(CHANGED))
        log_odds = np.log(CHANGED / (1.0 - CHANGED)) + shock
        rows = past(1.0 / (1.0 + np.exp(-log_odds)), units_=400, seed=seed)
        faded = fading.weights(rows, AHEAD)
        week = np.zeros((len(SALES.stages), 7))
        sd, variance = swings.shocks(rows, average(rows, faded), week, NOBODY, faded)
        assert variance == pytest.approx(sd[0] ** 2)
        found.append(variance)
    # 8 estimates of sd 0.1 around 0.44, less and more three standard errors
    assert 0.33 < np.sqrt(np.mean(found)) < 0.61


# days of the week


def weekdays(steps: int, funnel: Funnel) -> np.ndarray:
    """Return the day of the week in the middle of the steps before T."""
    at = int(THURSDAY.timestamp() * 1e6)
    return seasons.weekday(at - funnel.step * np.arange(steps, 0, -1) + funnel.step // 2)


def test_a_planted_week_is_found_and_lines_up_with_the_days_ahead() -> None:
    slow = np.where(weekdays(140, DAILY) == SUNDAY, 0.02, 0.2)
    rows = past(slow, units_=60, funnel=DAILY)
    week = swings.tilts(rows, average(rows, np.ones(len(rows))))
    assert week[0].argmin() == SUNDAY and week[0, SUNDAY] < week[0, :SUNDAY].min() - 1.5
    assert np.ptp(week[0, :SUNDAY]) < 0.4 and week[0].mean() == pytest.approx(0.0, abs=1e-9)
    course = units.read(log.identified(log.CANDIDATE.empty_table()), DAILY, THURSDAY)
    ahead = swings.ahead(course, week, 21)[:, 0]
    # from Thursday evening on: the third step has its middle in the morning of the Sunday
    assert np.flatnonzero(ahead == ahead.min()).tolist() == [2, 9, 16]
    both = np.append(slow, np.resize(slow[-7:], 21))[-21:] < 0.1
    assert ((ahead == ahead.min()) == both).all(), "the day that was slow stays slow"


def test_steps_of_a_week_have_no_days() -> None:
    rows = past(np.where(np.arange(104) % 7 == 3, 0.02, 0.2))
    assert not swings.tilts(rows, average(rows, np.ones(len(rows)))).any()


def closed_on_sundays(days: int = 84, seed: int = 5) -> units.Course:
    """Return deals that come every day, and that nobody decides on a Sunday."""
    rng, made = np.random.default_rng(seed), []
    for number in range(days * 5):
        born = THURSDAY - timedelta(days=days - number // 5, hours=6)
        name = f"d{number}"
        made.append(event("opportunity.created", born, name))
        for after in range(1, days):
            moment = born + timedelta(days=after)
            chance = rng.random()
            if moment.weekday() != SUNDAY and chance < 0.3:
                made.append(event("outcome.won" if chance < 0.2 else "outcome.lost", moment, name))
                break
    events = log.identified(pa.Table.from_pylist(made, log.CANDIDATE))
    return units.read(events, DAILY, THURSDAY)


def event(what: str, moment: datetime, deal: str) -> dict[str, Any]:
    """Return one event of a deal, known at once."""
    kind, name = what.split(".")
    times = {"event_time": moment, "known_at": moment}
    row = {"row_key": f"{what} {deal}", "source": "test", "kind": kind, "name": name}
    return {**row, **times, "opportunity": deal}


def won_by_day(steps: int) -> np.ndarray:
    """Return how many deals are won on average in each step ahead, as learnt and simulated."""
    course = closed_on_sundays()
    learnt = learning.fit(course, steps)
    assert isinstance(learnt, learning.Learnt)
    groups = len(learnt.groups.names)
    asked = Experiment(
        start=learning.start(course, learnt),
        arrivals=learning.arrivals(learnt),
        frame=learning.frame(learnt),
        learnt=learnt,
        arms=(
            Arm(
                name="baseline",
                levers=levers.none(len(DAILY.stages), 1, groups),
                desks=Desks(np.zeros((1, steps), np.int64), *[np.zeros(1, np.int64)] * 2),
            ),
        ),
        seed=1,
        draws=200,
        steps=steps,
    )
    [span] = experiment.spans(asked, 200)
    [outcome] = experiment.run(asked, span)
    return np.asarray(outcome.won.sum(axis=(2, 3)).mean(axis=0))


@pytest.mark.parametrize("is_mutant", [False, True])
def test_nobody_is_forecast_to_win_on_a_day_that_is_closed(
    monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """Mutant: without tilts Sundays are like all other days."""
    if is_mutant:
        monkeypatch.setattr(swings, "tilts", lambda rows, chance: np.zeros((len(DAILY.stages), 7)))
    won = won_by_day(14)
    closed = won[[2, 9]].mean() / np.delete(won, [2, 9]).mean()
    assert (closed < 0.15) != is_mutant and (closed > 0.5) == is_mutant
