"""Forecasts in companies whose shocks, and whose shift, are planted: 90 % intervals hold what they
are made for, of the total and of regions, and those that know less do not.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from cluster.errors import Refusal
from features import log
from features.sources.world import WorldConfig, generate
from jobs.backtest import measures, ours
from jobs.backtest.ours import Place, Truth
from jobs.backtest.walk import Key, origins
from serving.forecast import covered, experiment, funnels, learning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from serving.forecast.covered import Coverage
    from serving.forecast.learning import Learnt
    from serving.forecast.units import Course

    type Arms = tuple[Callable[[Learnt], Learnt], ...]

HORIZONS, EVERY, ORIGINS = (2, 4), 4, 24
SEEDS = range(21, 27)  # of companies on which nothing was chosen
DRAWS, LEVEL, WEEK = 300, 0.9, timedelta(days=7)
SHIFTED, SHIFT = 99, -0.8  # the week, in the middle of a quarter, and what it does to log hazards
RECOVERED = 8  # weeks after a shift
KINDS = ("opportunity", "stage", "outcome", "lead", "attribute")


class World(NamedTuple):
    """A company, what is won in it, and the Monday on which the last week of its log begins."""

    place: Place
    truth: Truth
    last: datetime


def _world(config: WorldConfig) -> World:
    told = generate(config).events
    wanted = np.isin(told["kind"].to_numpy(zero_copy_only=False), KINDS)
    events = log.identified(told.filter(wanted))
    sales = funnels.load_funnel("sales")
    place = Place(funnel=sales, events=events, horizons=HORIZONS, draws=DRAWS, seed=1)
    latest = ours.moment(int(log.microseconds(events["known_at"]).max()))
    # shocks of the company are those of weeks from Monday on
    monday = latest.replace(hour=0, minute=0, second=0, microsecond=0)
    return World(place, Truth(place, place.course(latest)), monday - timedelta(latest.weekday()))


def _since(world: World, weeks: Iterable[int]) -> list[datetime]:
    """Return the moments so many weeks after the shift."""
    begins = world.last - (149 - SHIFTED) * WEEK
    return [begins + week * WEEK for week in weeks]


def _config(seed: int, sd: float, shift: float = 0.0) -> WorldConfig:
    return WorldConfig(
        seed=seed, weeks=150, scale=4.0, market_shock_sd=sd, faults=0.0, late=0.0,
        hazard_shift=shift, shift_week=SHIFTED,
    )  # fmt: skip


def _unshared(learnt: Learnt) -> Learnt:
    """The mutant: each unit has luck of its own."""
    swung = learnt.swings
    none = swung._replace(shock_sd=0.0 * swung.shock_sd, shock_variance=0.0)
    return _unlasting(replace(learnt, swings=none))


def _unlasting(learnt: Learnt) -> Learnt:
    """The mutant: nothing lasts, and the average of history is known."""
    level = learnt.swings.level
    none = level._replace(centre=0.0 * level.centre, root=0.0 * level.root, walk=0.0 * level.walk)
    return replace(learnt, swings=learnt.swings._replace(level=none))


def _as_it_is(learnt: Learnt) -> Learnt:
    return learnt


def _said(course: Course, learnt: Learnt, place: Place) -> dict[str, np.ndarray]:
    """Return draws of what is won, in total and by region, float64 [draws, horizons]."""
    asked = ours.usual(course, learnt, place)
    (outcome,) = experiment.run(asked, experiment.spans(asked, DRAWS)[0])
    won = outcome.won.sum(axis=3).cumsum(axis=1)[:, np.array(HORIZONS) - 1].astype(float)
    region = np.array([segment for segment, _, _ in learnt.groups.names])
    each = {f"segment={name}": won[:, :, region == name].sum(axis=2) for name in set(region) - {""}}
    return {"all": won.sum(axis=2), **each}


def _held(world: World, at: Iterable[datetime], arms: Arms) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each arm whether 90 % intervals held, of the total and of regions, float64
    [origins, any]. Ends of intervals of whole numbers count by lot (see measures.pit), so that 90 %
    are 90 %.
    """
    rows: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in arms]
    for origin in at:
        course, came = world.place.course(origin), world.truth(origin)
        learnt = learning.fit(course, max(HORIZONS))
        assert not isinstance(learnt, Refusal)
        for row, known in zip(rows, arms, strict=True):
            row.append(_judged(_said(course, known(learnt), world.place), came))
    return [
        (np.array([total for total, _ in row], float), np.array([each for _, each in row], float))
        for row in rows
    ]


def _judged(
    said: dict[str, np.ndarray], came: Mapping[Key, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    held = {
        series: np.abs(measures.pit(rng, draws, came[Key(series, "won")]) - 0.5) <= LEVEL / 2
        for series, draws in sorted(said.items())
    }
    total = held.pop("all")
    return total, np.concatenate(list(held.values()))


def _coverage(held: list[np.ndarray], overlap: int = 0) -> Coverage:
    found = covered.measured(np.concatenate(held), LEVEL, overlap)
    assert not isinstance(found, Refusal)
    return found


def _is_right(found: Coverage) -> bool:
    return abs(found.share - LEVEL) <= 2.0 * found.error


def _apart(world: World) -> tuple[datetime, ...]:
    """Return origins that share no step."""
    last = world.last - max(HORIZONS) * WEEK
    return origins(last - EVERY * (ORIGINS - 1) * WEEK, last, EVERY * WEEK)


@pytest.mark.drill
@pytest.mark.parametrize("sd", [0.3, 0.5])
def test_intervals_hold_what_they_are_made_for(sd: float) -> None:
    """24 origins in each of six companies. Mutant: each unit has luck of its own."""
    companies = [_world(_config(seed, sd)) for seed in SEEDS]
    held = [_held(world, _apart(world), (_as_it_is, _unshared)) for world in companies]
    found, broken = (
        [_coverage(list(each)) for each in zip(*arm, strict=True)]
        for arm in zip(*held, strict=True)
    )
    said = f"total, regions: {[str(each) for each in found]}; mutant: {[str(b) for b in broken]}"
    print(said)  # noqa: T201
    assert all(_is_right(each) for each in found), said
    assert not _is_right(broken[0]), said


@pytest.mark.drill
def test_after_a_shift_intervals_hold_again() -> None:
    """From RECOVERED weeks after it on. Mutant: nothing lasts, and old steps only fade."""
    companies = [_world(_config(seed, 0.3, SHIFT)) for seed in SEEDS[:4]]
    weeks = range(RECOVERED, RECOVERED + 14, 2)
    held = [_held(world, _since(world, weeks), (_as_it_is, _unlasting)) for world in companies]
    found, broken = (
        _coverage([total for total, _ in arm], covered.overlap(max(HORIZONS), 2))
        for arm in zip(*held, strict=True)
    )
    print(found, "; mutant:", broken)  # noqa: T201
    assert _is_right(found), found
    assert not _is_right(broken), broken
