"""Our own forecast as of an origin, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import Refusal
from features import log
from jobs.backtest import knowing, single
from jobs.backtest.knowing import SLICED, VALUE, WON
from jobs.backtest.walk import Key
from serving.forecast import experiment, learning, levers, units
from serving.forecast.desks import Desks
from serving.forecast.experiment import Arm, Experiment
from serving.forecast.tested import ALL, OURS
from serving.forecast.whole import Whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobs.backtest.walk import Draws
    from serving.forecast.funnels import Funnel
    from serving.forecast.given import Outcome
    from serving.forecast.learning import Learnt
    from serving.forecast.strata import Scored
    from serving.forecast.units import Course

CHUNK = 250  # draws


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """What every origin is forecast from."""

    funnel: Funnel
    events: pa.Table  # all of the log: each origin looks at what was known then
    horizons: tuple[int, ...]
    draws: int
    seed: int
    scores: tuple[Scored, ...] = ()

    def course(self, origin: datetime) -> Course:
        """Return the courses of all units as known at an origin."""
        return units.read(self.events, self.funnel, origin)

    def is_scored(self, origin: datetime) -> bool:
        """Is there a score that was made by an origin?"""
        until = pa.scalar(origin, log.MICROSECONDS)
        times = [each.rows["time"] for each in self.scores]
        return any(pc.any(pc.less_equal(time, until)).as_py() for time in times)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ours:
    """Our forecast: business as usual."""

    place: Place
    name: str = OURS
    course: Callable[[datetime], Course] | None = None  # in place of reading the place's
    deals: dict[datetime, pd.DataFrame] = field(default_factory=dict)  # what it said of each

    def forecast(self, origin: datetime) -> Draws:
        """Return the draws of all series; nothing where the log says too little by then."""
        place, course = self.place, (self.course or self.place.course)(origin)
        learnt = learning.fit(course, max(place.horizons), scores=place.scores)
        if isinstance(learnt, Refusal):
            return {}
        asked = usual(course, learnt, place)
        whole: Whole[Outcome] = Whole(asked.draws)
        for span in experiment.spans(asked, CHUNK):
            whole.put(span, experiment.run(asked, span))
        (outcome,) = whole.outcomes
        self.deals[origin] = single.said(course, asked.start, outcome)
        return _draws(outcome, learnt, place.horizons, knowing.measures(course))


def usual(course: Course, learnt: Learnt, place: Place) -> Experiment:
    """Return business as usual as an experiment: nobody is contacted but as before."""
    steps, groups = max(place.horizons), len(learnt.groups.names)
    start = learning.start(course, learnt)
    idle = Desks(
        capacity=np.zeros((1, steps), np.int64),
        discipline=np.zeros(1, np.int64),
        rank=np.arange(learnt.strata.count),
    )
    nothing = levers.none(len(place.funnel.stages), learnt.strata.count, groups)
    return Experiment(
        start=start._replace(desk=np.zeros_like(start.desk)),
        arrivals=learning.arrivals(learnt)._replace(desk_of=np.zeros(groups, np.int64)),
        frame=learning.frame(learnt),
        learnt=learnt,
        arms=(Arm(name="usual", levers=nothing, desks=idle),),
        seed=place.seed,
        draws=place.draws,
        steps=steps,
    )


def truth(place: Place, latest: datetime) -> Truth:
    """Return what became of each origin, as known at `latest`."""
    return Truth(place, place.course(latest))


class Truth:
    """What was won after an origin, as known in the end."""

    def __init__(self, place: Place, course: Course) -> None:
        self._place, self._course = place, course
        self._won, self._cents = knowing.won(course)
        self._series = list(knowing.series(course))

    def deals(self, origin: datetime, keys: np.ndarray) -> np.ndarray:
        """Return which deals, by their keys, were won up to the last horizon: bool [deals]."""
        known = pa.array(self._course.keys.opportunities)
        code = pc.fill_null(pc.index_in(pa.array(keys, pa.string()), known), -1).to_numpy()
        unit = np.append(self._course.keys.unit_of_opportunity, -1)[code]
        begins = int(origin.timestamp() * 1_000_000)
        ends = begins + max(self._place.horizons) * self._place.funnel.step
        won = np.append(self._won, np.iinfo(np.int64).max)[unit]
        return np.asarray((begins <= won) & (won < ends))

    def __call__(self, origin: datetime) -> Mapping[Key, np.ndarray]:
        """Return what was won up to each horizon, NaN where that is not over."""
        begins = int(origin.timestamp() * 1_000_000)
        ends = begins + np.array(self._place.horizons) * self._place.funnel.step
        found = {}
        for each in self._series:
            for measure in knowing.measures(self._course):
                worth = np.ones(len(self._won)) if measure == WON else self._cents
                inside = each.units & (self._won >= begins)
                total = [float(worth[inside & (self._won < end)].sum()) for end in ends]
                found[Key(each.name, measure)] = np.where(ends <= self._course.at, total, np.nan)
        return found


def _draws(
    outcome: Outcome, learnt: Learnt, horizons: tuple[int, ...], measures: tuple[str, ...]
) -> Draws:
    labels = pd.DataFrame(learnt.groups.names, columns=["segment", "team", "owner"])
    last = np.array(horizons) - 1
    found: dict[Key, np.ndarray] = {}
    for measure in measures:
        counts = outcome.cents if measure == VALUE else outcome.won
        so_far = counts.sum(axis=-1).cumsum(axis=1)[:, last]
        found[Key(ALL, measure)] = so_far.sum(axis=-1).astype(float)
        for dimension in SLICED:
            for word in sorted(set(labels[dimension]) - {""}):
                mine = (labels[dimension] == word).to_numpy()
                chosen = so_far[:, :, mine].sum(axis=-1).astype(float)
                found[Key(f"{dimension}={word}", measure)] = chosen
    return found


def moment(at: int) -> datetime:
    """Return a time of the log as a datetime."""
    return datetime.fromtimestamp(at / 1_000_000, UTC)
