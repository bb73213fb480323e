"""Forecasts in a company whose shocks are planted: intervals hold far oftener than if every unit
had luck of its own. They do not hold as often as they say yet: docs/forecast.md.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cluster.errors import Refusal
from features import log
from features.sources.world import WorldConfig, generate
from jobs.backtest import ours
from jobs.backtest.ours import Place, Truth
from jobs.backtest.walk import Key, origins
from serving.forecast import covered, experiment, funnels, learning

if TYPE_CHECKING:
    from datetime import datetime

    from serving.forecast.covered import Coverage

HORIZONS, EVERY, ORIGINS = (2, 4), 4, 24
LEVEL = 0.9
KINDS = ("opportunity", "stage", "outcome", "lead", "attribute")


def _place(sd: float, seed: int) -> tuple[Place, datetime]:
    config = WorldConfig(seed=seed, weeks=150, scale=4.0, market_shock_sd=sd, faults=0.0, late=0.0)
    told = generate(config).events
    wanted = np.isin(told["kind"].to_numpy(zero_copy_only=False), KINDS)
    events = log.identified(told.filter(wanted))
    place = Place(
        funnel=funnels.load_funnel("sales"), events=events, horizons=HORIZONS, draws=400, seed=1
    )
    return place, ours.moment(int(log.microseconds(events["known_at"]).max()))


def _held(place: Place, latest: datetime, *, shared: bool) -> np.ndarray:
    """Return whether 90 % intervals of what is won held, float64 [origins, horizons]."""
    truth, step = Truth(place, place.course(latest)), timedelta(days=7)
    last = latest - max(HORIZONS) * step
    # shocks of the company are those of weeks from Monday on
    last = last.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(last.weekday())
    rows = []
    for origin in origins(last - EVERY * (ORIGINS - 1) * step, last, EVERY * step):
        draws = _draws(place, origin, shared=shared)
        low, high = np.quantile(draws, (0.05, 0.95), axis=0, method="inverted_cdf")
        came = truth(origin)[Key("all", "won")]
        rows.append((low <= came) & (came <= high))
    return np.array(rows, float)


def _draws(place: Place, origin: datetime, *, shared: bool) -> np.ndarray:
    course = place.course(origin)
    learnt = learning.fit(course, max(HORIZONS))
    assert not isinstance(learnt, Refusal)
    if not shared:
        learnt = replace(learnt, shock_sd=np.zeros_like(learnt.shock_sd), shock_variance=0.0)
    asked = ours.usual(course, learnt, place)
    (outcome,) = experiment.run(asked, experiment.spans(asked, place.draws)[0])
    return outcome.won.sum(axis=(2, 3)).cumsum(axis=1)[:, np.array(HORIZONS) - 1]


def _coverage(held: np.ndarray) -> Coverage:
    found = covered.measured(held, LEVEL, 0)
    assert not isinstance(found, Refusal)
    return found


@pytest.mark.drill
@pytest.mark.parametrize("sd", [0.3, 0.5])
def test_intervals_hold_oftener_with_shared_shocks(sd: float) -> None:
    """24 origins that share no step."""
    place = _place(sd, 7)
    ours_held, alone = (_coverage(_held(*place, shared=shared)) for shared in (True, False))
    said = f"shared shocks: {ours_held}; each its own luck: {alone}"
    assert ours_held.share > max(0.6, alone.share + 0.05), said
