"""What a scenario names, against what the funnel has, and its desks as the kernel takes them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cluster.errors import Refusal, nearest
from serving.forecast import calendars
from serving.forecast.calendars import Absence, Calendar
from serving.forecast.desks import DISCIPLINES, Desks
from serving.forecast.kinds import Audience, Campaign, Queue, Reps

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from serving.forecast.kinds import When
    from serving.forecast.scenario import Desk, Scenario

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Names(NamedTuple):
    """What the numbers of a funnel stand for."""

    stages: tuple[str, ...]
    strata: int  # units without a score, then the bands of the scores, the lowest first
    labels: pd.DataFrame  # segment, team and owner of each group
    bands: tuple[int, ...] = ()  # of each stratum, 0 for none; empty: the stratum is the band

    @property
    def band_of(self) -> tuple[int, ...]:
        """The band of each stratum, 1 the lowest of its score; 0 where there is none."""
        return self.bands or tuple(range(self.strata))


def fitting(scenario: Scenario, names: Names) -> Scenario | Refusal:
    """Return the scenario if it names only what the funnel has."""
    for what, value, valid in _named(scenario, names):
        if value not in valid:
            there = [each for each in valid if each]  # unknown has no name
            return Refusal(
                rule=f"{what} must be one of {', '.join(there) or 'none'}",
                value=value,
                remedy=nearest(value, there) if there else "leave it out",
            )
    return scenario


def _named(scenario: Scenario, names: Names) -> Iterator[tuple[str, str, list[str]]]:
    """Give everything that a scenario names: what it is, its value, and which values there are."""
    teams, segments = (sorted(names.labels[each].unique()) for each in ("team", "segment"))
    bands = [str(band) for band in sorted({*names.band_of} - {0})]
    for lever in scenario.levers:
        if isinstance(lever, Audience | Campaign):
            yield from (("stage", each, list(names.stages)) for each in lever.stages)
            yield from (("segment", each, segments) for each in lever.segments)
            yield from (("team", each, teams) for each in lever.teams)
        if isinstance(lever, Audience):
            yield from (("band", str(each), bands) for each in lever.bands)
    for desk in scenario.desks:
        yield from (("team", each, teams) for each in desk.teams)


def desk_of(scenario: Scenario, names: Names) -> np.ndarray:
    """Return the desk of the units of each group, int64 [groups]: that of its team, else the first
    that names no team, else the first of all.
    """
    by_team = {team: place for place, desk in enumerate(scenario.desks) for team in desk.teams}
    others = [place for place, desk in enumerate(scenario.desks) if not desk.teams]
    rest = others[0] if others else 0
    return np.array([by_team.get(team, rest) for team in names.labels["team"]], np.int64)


def desks(scenario: Scenario, names: Names, first: date, *, days_per_step: int) -> Desks:
    """Return the desks; without any declared one that nobody staffs. Step 0 begins on `first`."""
    given = scenario.desks
    idle = np.zeros((1, scenario.horizon), np.int64)
    calendar = [_calendar(desk, scenario, first, days_per_step) for desk in given]
    made = calendars.capacity(calendar, first, days_per_step=days_per_step, steps=scenario.horizon)
    return Desks(
        capacity=made if given else idle,
        discipline=np.array([_discipline(d, scenario) for d in given] or [0], np.int64),
        rank=np.arange(names.strata),
    )


def _discipline(desk: Desk, scenario: Scenario) -> int:
    """Return the place of a desk's queue, the last lever's where any change it."""
    changed = [
        lever.queue
        for lever in scenario.levers
        if isinstance(lever, Queue) and lever.desk == desk.name
    ]
    return DISCIPLINES.index([desk.queue, *changed][-1])


def _calendar(desk: Desk, scenario: Scenario, first: date, days: int) -> Calendar:
    away = tuple(Absence(first=a.first, last=a.last, reps=a.reps) for a in desk.away)
    more = (
        _joining(lever, scenario.horizon, first, days)
        for lever in scenario.levers
        if isinstance(lever, Reps) and lever.desk == desk.name
    )
    return Calendar(
        reps=desk.reps,
        contacts_per_day=desk.contacts,
        weekdays=frozenset(_DAYS.index(day) for day in desk.weekdays),
        holidays=frozenset(desk.holidays),
        absences=(*away, *more),
    )


def _joining(lever: Reps, horizon: int, first: date, days: int) -> Absence:
    """Return reps that join for some steps, as an absence of fewer than none."""
    begins = first + timedelta(days=lever.first_step * days)
    ends = first + timedelta(days=(last_step(lever, horizon) + 1) * days - 1)
    return Absence(first=begins, last=ends, reps=-lever.more)


def last_step(lever: When, horizon: int) -> int:
    """Return the last step in which a lever is pulled."""
    return horizon - 1 if lever.last_step is None else min(lever.last_step, horizon - 1)
