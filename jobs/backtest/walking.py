"""The walk at work: origins one by one, or as Ray tasks; what is done is committed at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from cluster import runner, session
from jobs.backtest import baselines, knowing, ours, single
from jobs.backtest.forecasters import Baseline
from jobs.backtest.ours import Ours
from jobs.backtest.walk import walk
from serving.forecast import tested

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from cluster.settings import Settings
    from cluster.workspace import Workspace
    from jobs.backtest.asked import Asked
    from jobs.backtest.known import Known
    from jobs.backtest.ours import Place, Truth
    from jobs.backtest.walk import Key, Plan
    from jobs.console import Progress
    from serving.forecast.units import Course

ROWS_PER_ORIGIN = 5  # of a feature job, per 100 events: what an origin costs


def walked(workspace: Workspace, asked: Asked, place: Place, progress: Progress) -> str:
    """Forecast from every origin that is not in the table yet; returns how it ran."""
    workspace.tables.create(tested.TABLE, tested.SCHEMA)
    workspace.tables.create(single.TABLE, single.SCHEMA)
    seen = _there(workspace, asked.plan)
    missing = [origin for origin in asked.plan.origins if origin not in seen]
    count, every = len(asked.plan.origins) - len(missing), len(asked.plan.origins)
    rows = len(missing) * place.events.num_rows * ROWS_PER_ORIGIN // 100
    choice = runner.choose(asked.settings.runner, rows, workspace.settings)
    make = _on_ray if choice.runner == "ray" else _inline
    for made in make(workspace.settings, asked, place, missing):
        for name, rows in ((single.TABLE, made.deals), (tested.TABLE, made.rows)):
            if rows.num_rows:  # the rows last: they say that an origin is done
                workspace.tables.append(name, rows)
        count += 1
        progress(count, every, "origins")
    return f"{choice}; {every - len(missing)} of {every} origins were done before"


class Made(NamedTuple):
    """What was forecast from one origin, and what came."""

    rows: pa.Table  # of tested.SCHEMA
    deals: pa.Table  # of single.SCHEMA


def one(plan: Plan, place: Place, truth: Truth, origin: datetime) -> Made:
    """Return the rows of all forecasters from one origin."""
    told = _Told(place)
    simple = [
        Baseline(name=name, known=told, horizons=place.horizons, seed=place.seed)
        for name in baselines.NAMES
    ]
    mine = [Ours(place=place, course=told.course)]
    if place.is_scored(origin):
        bare = replace(place, scores=())
        mine.append(Ours(place=bare, name=tested.UNSCORED, course=told.course))
    only = replace(plan, origins=(origin,))
    tables = list(walk(only, [*mine, *simple], truth, tested.SCHEMA.empty_table()))
    deals = [
        single.table(plan, origin, each.name, each.deals[origin], truth.deals)
        for each in mine
        if origin in each.deals
    ]
    return Made(pa.concat_tables(tables), pa.concat_tables([single.SCHEMA.empty_table(), *deals]))


class _Told:
    """What was known at an origin, read once for all forecasters."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._courses: dict[datetime, Course] = {}
        self._known: dict[datetime, Mapping[Key, Known]] = {}

    def course(self, origin: datetime) -> Course:
        """Return the courses of all units as known then."""
        if origin not in self._courses:
            self._courses[origin] = self._place.course(origin)
        return self._courses[origin]

    def __call__(self, origin: datetime) -> Mapping[Key, Known]:
        if origin not in self._known:
            self._known[origin] = knowing.known(self.course(origin))
        return self._known[origin]


def _there(workspace: Workspace, plan: Plan) -> set[datetime]:
    rows = workspace.tables.read(tested.TABLE, columns=["run", "funnel", "origin"]).to_pandas()
    mine = rows[(rows["run"] == plan.run) & (rows["funnel"] == plan.funnel)]
    return {each.to_pydatetime() for each in mine["origin"].unique()}


def _inline(
    settings: Settings, asked: Asked, place: Place, missing: list[datetime]
) -> Iterator[Made]:
    truth = ours.truth(place, asked.latest)
    for origin in missing:
        yield one(asked.plan, place, truth, origin)


def _on_ray(
    settings: Settings, asked: Asked, place: Place, missing: list[datetime]
) -> Iterator[Made]:
    session.connect(settings)
    import ray

    truth = ray.put(ours.truth(place, asked.latest))
    plan, stored = ray.put(asked.plan), ray.put(place)
    task = ray.remote(num_cpus=1)(one)
    waiting = [task.remote(plan, stored, truth, origin) for origin in missing]
    try:
        while waiting:
            (done, *_), waiting = ray.wait(waiting, num_returns=1)
            yield ray.get(done)
    finally:
        for each in waiting:
            ray.cancel(each)
