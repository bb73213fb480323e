"""The levers of a scenario that reach units, as the arrays that the kernel takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from serving.forecast import levers
from serving.forecast.evidence import Effect
from serving.forecast.kinds import Outreach, Price
from serving.forecast.levers import Levers
from serving.forecast.pulled import last_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from serving.forecast.history import Past
    from serving.forecast.kinds import Campaign, When
    from serving.forecast.pulled import Names
    from serving.forecast.scenario import Scenario


type Reaching = Outreach | Price


def reached(scenario: Scenario) -> list[Reaching]:
    """Return the levers that reach units, in the order of the arrays."""
    return [lever for lever in scenario.levers if isinstance(lever, Outreach | Price)]


def reaches(lever: When) -> bool:
    """Does a lever reach units, so that it is in the arrays?"""
    return isinstance(lever, Outreach | Price)


def is_by_reps(lever: When) -> bool:
    """Does a lever take hours of a desk?"""
    return isinstance(lever, Outreach) and lever.by == "reps"


def pulled(
    scenario: Scenario,
    names: Names,
    pasts: Sequence[Past],
    routed: Sequence[np.ndarray | None] = (),
) -> Levers:
    """Return the levers; of each of those reached, `pasts` says what history says of it and
    `routed` the share of each stratum that a policy sends there, float64 [strata] (none: all).

    ValueError when an effect is still to be estimated.
    """
    given = reached(scenario)
    if not given:
        return levers.none(len(names.stages), names.strata, len(names.labels))
    effects = [effect_of(lever) for lever in given]
    is_price = np.array([isinstance(lever, Price) for lever in given])
    return Levers(
        stages=np.array([[s in lever.stages for s in names.stages] for lever in given]),
        strata=np.array([_strata(lever, names) for lever in given]),
        groups=np.array([groups(lever, names.labels) for lever in given]),
        parts=np.array([[True, True, lever.audience == "all"] for lever in given]),
        first=np.array([lever.first_step for lever in given], np.int64),
        last=np.array([last_step(lever, scenario.horizon) for lever in given], np.int64),
        rate=np.array([rate(*each) for each in zip(given, pasts, strict=True)], float),
        log_ratio=np.array([math.log(effect.ratio) for effect in effects], float),
        log_ratio_sd=np.array([effect.sd for effect in effects], float),
        contacted=np.array([past.contacted for past in pasts], float),
        lasts=np.array([effect.lasts for effect in effects], np.int64),
        saturation=_of_outreach(given, "saturation"),
        unsubscribe=_of_outreach(given, "unsubscribe"),
        share=_shares(routed or [None] * len(given), names),
        at_once=np.array([not is_by_reps(lever) for lever in given]),
        once=is_price,
        stalled=np.array([lever.stalled_steps for lever in given], np.int64),
        lost_log_ratio=np.array([math.log(effect.lost_ratio) for effect in effects], float),
        lost_log_ratio_sd=np.array([effect.lost_sd for effect in effects], float),
        worth=np.array([1.0 - getattr(lever, "discount", 0.0) for lever in given], float),
        tires=np.where(is_price, 0.0, 1.0),
        decay=scenario.fading,
    )


def minutes(scenario: Scenario) -> np.ndarray:
    """Return the minutes of a rep that a contact takes, float64 [levers]; 0 of a system."""
    given = reached(scenario)
    each = [lever.minutes_per_contact if isinstance(lever, Outreach) else 0.0 for lever in given]
    return np.where([is_by_reps(lever) for lever in given], each, 0.0)


def rate(lever: Reaching, past: Past) -> float:
    """Return the chance of a unit to be listed in a step; `more` is of what history had, and a
    price is given to all.
    """
    if isinstance(lever, Price):
        return 1.0
    return min(1.0, (lever.more or 0.0) * past.per_step) if lever.rate is None else lever.rate


def effect_of(lever: Reaching) -> Effect:
    """Return what a lever does; ValueError when that is still to be estimated."""
    if not isinstance(lever.effect, Effect):
        raise ValueError(f"every effect must be known, got '{lever.effect}'")
    return lever.effect


def groups(lever: Reaching | Campaign, labels: pd.DataFrame) -> np.ndarray:
    """Return which groups a lever is for, by segment and team: bool [groups]."""
    is_of = np.ones(len(labels), bool)
    for column, wanted in (("segment", lever.segments), ("team", lever.teams)):
        if wanted:
            is_of &= labels[column].isin(wanted).to_numpy()
    return is_of


def _of_outreach(given: Sequence[Reaching], name: str) -> np.ndarray:
    """Return a number that a price does not have, which is then 0."""
    return np.array([getattr(lever, name, 0.0) for lever in given], float)


def _shares(routed: Sequence[np.ndarray | None], names: Names) -> np.ndarray:
    every = [np.ones(names.strata) if each is None else each for each in routed]
    return np.repeat(np.stack(every)[:, :, None], len(names.labels), axis=2)


def _strata(lever: Reaching, names: Names) -> list[bool]:
    return [not lever.bands or band in lever.bands for band in names.band_of]
