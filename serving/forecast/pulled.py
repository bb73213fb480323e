"""The levers and desks of a scenario as the arrays that the kernel takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cluster.errors import Refusal, nearest
from serving.forecast import calendars, levers
from serving.forecast.calendars import Absence, Calendar
from serving.forecast.desks import DISCIPLINES, Desks
from serving.forecast.levers import Levers
from serving.forecast.scenario import Effect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import pandas as pd

    from serving.forecast.scenario import Desk, Outreach, Scenario

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Names(NamedTuple):
    """What the numbers of a funnel stand for."""

    stages: tuple[str, ...]
    strata: int  # units without a score, then the bands of the score, the lowest first
    labels: pd.DataFrame  # segment, team and owner of each group


def fitting(scenario: Scenario, names: Names) -> Scenario | Refusal:
    """Return the scenario if it names only what the funnel has."""
    for what, value, valid in _named(scenario, names):
        if value not in valid:
            return Refusal(
                rule=f"{what} must be one of {', '.join(valid) or 'none'}",
                value=value,
                remedy=nearest(value, valid) if valid else "leave it out",
            )
    return scenario


def _named(scenario: Scenario, names: Names) -> Iterator[tuple[str, str, list[str]]]:
    """Give everything that a scenario names: what it is, its value, and which values there are."""
    teams, segments = (sorted(names.labels[each].unique()) for each in ("team", "segment"))
    bands = [str(band) for band in range(1, names.strata)]
    for lever in scenario.levers:
        yield from (("stage", each, list(names.stages)) for each in lever.stages)
        yield from (("segment", each, segments) for each in lever.segments)
        yield from (("team", each, teams) for each in lever.teams)
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
    calendar = [_calendar(desk) for desk in given]
    made = calendars.capacity(calendar, first, days_per_step=days_per_step, steps=scenario.horizon)
    return Desks(
        capacity=made if given else idle,
        discipline=np.array([DISCIPLINES.index(d.queue) for d in given] or [0], np.int64),
        rank=np.arange(names.strata),
    )


def pulled(scenario: Scenario, names: Names, contacted: float) -> Levers:
    """Return the levers; `contacted` is the share of unit-steps in history under such a contact.

    ValueError when an effect is still to be estimated.
    """
    given = scenario.levers
    if not given:
        return levers.none(len(names.stages), names.strata, len(names.labels))
    effects = [_effect(lever) for lever in given]
    return Levers(
        stages=np.array([[s in lever.stages for s in names.stages] for lever in given]),
        strata=np.array([_strata(lever, names.strata) for lever in given]),
        groups=np.array([_groups(lever, names.labels) for lever in given]),
        parts=np.array([[True, True, lever.audience == "all"] for lever in given]),
        first=np.array([lever.first_step for lever in given], np.int64),
        last=np.array([_last(lever, scenario.horizon) for lever in given], np.int64),
        rate=np.array([lever.rate for lever in given], float),
        log_ratio=np.array([math.log(effect.ratio) for effect in effects], float),
        log_ratio_sd=np.array([effect.sd for effect in effects], float),
        contacted=np.full(len(given), contacted),
        lasts=np.array([effect.lasts for effect in effects], np.int64),
        saturation=np.array([lever.saturation for lever in given], float),
        unsubscribe=np.array([lever.unsubscribe for lever in given], float),
        decay=scenario.fading,
    )


def _effect(lever: Outreach) -> Effect:
    if not isinstance(lever.effect, Effect):
        raise ValueError(f"every effect must be known, got '{lever.effect}'")
    return lever.effect


def _strata(lever: Outreach, strata: int) -> list[bool]:
    # stratum NO_SCORE is in no band, and the bands follow it
    return [not lever.bands or stratum in lever.bands for stratum in range(strata)]


def _groups(lever: Outreach, labels: pd.DataFrame) -> np.ndarray:
    is_of = np.ones(len(labels), bool)
    for column, wanted in (("segment", lever.segments), ("team", lever.teams)):
        if wanted:
            is_of &= labels[column].isin(wanted).to_numpy()
    return is_of


def _last(lever: Outreach, horizon: int) -> int:
    return horizon if lever.last_step is None else lever.last_step


def _calendar(desk: Desk) -> Calendar:
    return Calendar(
        reps=desk.reps,
        contacts_per_day=desk.contacts,
        weekdays=frozenset(_DAYS.index(day) for day in desk.weekdays),
        holidays=frozenset(desk.holidays),
        absences=tuple(Absence(first=a.first, last=a.last, reps=a.reps) for a in desk.away),
    )
