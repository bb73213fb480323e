"""Releases by lot, judged by the product's own evidence: how often one that is as good is undone,
and how soon a model that is worse is found. Pure, but for the processes that share the work.

Evidence keeps the highest that it ever was, after every single decision, and an alarm is never
taken back. So one verdict at the end says whether any look on the way would have undone a release;
the first releases are judged every simulated minute too, and must come to the same.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from math import log
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.releases import calibrated, judge, pairs
from serving.releases.evidence import Evidence
from serving.releases.judge import Action
from serving.releases.sighting import Sighting
from serving.releases.wealth import Wealth
from tests.serving.simulated_releases import BEGAN, leads, release

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.random import Generator
    from numpy.typing import NDArray

    type Floats = NDArray[np.float64]
    type Leads = tuple[Floats, Floats, NDArray[np.bool_]]

PLAN = release().plan
PROCESSES = 2
DECISIONS, HOURS, ACCOUNTS = 10_000, 24, 4_000
STEPS = (1, 2, 3, 4)  # of the plan: 1, 5, 25 and 50 % of the accounts, six hours each
SWING = 0.8  # of the load around its mean: nine times as much by day as by night
ERRORS, LOUD = 0.01, 0.3  # of decisions; share of them that is one account's
BY_MINUTE = 10  # releases that are judged every minute too
AT_MOST = 20_000  # leads whose outcome is known
NOISE = 0.5  # on the log-odds
BATCH = 25  # releases that one process is given at a time
MISCALIBRATED: dict[str, dict[str, float]] = {
    "too sure": {"slope": 1.5},
    "too shy": {"slope": 0.7},
    "too high": {"shift": 0.3},
    "too low": {"shift": -0.3},
}

type Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How some releases without a fault ended."""

    undone: int
    held: int
    decisions: int
    by_minute: int  # that were judged every minute too
    differing: int  # of these: came to another end


def measured(releases: int, models: int) -> Figures:
    """Return the figures of so many identical releases, and of so many models of each kind."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        cut = [range(n, min(n + BATCH, releases)) for n in range(0, releases, BATCH)]
        ended = list(pool.map(identical, cut))
        seeds = range(models)
        kinds = {"worse": {"noise": NOISE}} | MISCALIBRATED
        found = {
            kind: list(pool.map(_found, seeds, [how] * models, chunksize=5))
            for kind, how in kinds.items()
        }
        equal = list(pool.map(_equal, range(5 * models), chunksize=25))
    return {**_falsely(ended), **_models(found), **_equals(equal)}


def identical(seeds: Iterable[int]) -> Ended:
    """Judge releases whose arms are the same, of one day each."""
    found = {seed: _judged(day(np.random.default_rng([1, seed]))) for seed in seeds}
    again = {
        seed: _judged_by_minute(day(np.random.default_rng([1, seed])))
        for seed in seeds
        if seed < BY_MINUTE
    }
    return Ended(
        undone=sum(each == Action.ROLLBACK for each in found.values()),
        held=sum(each == Action.HOLD for each in found.values()),
        decisions=len(found) * DECISIONS,
        by_minute=len(again),
        differing=sum((found[seed] == Action.ROLLBACK) != each for seed, each in again.items()),
    )


def day(rng: Generator) -> list[Sighting]:
    """Return a day of decisions, more of them by day than by night; weights rise on the way, and
    accounts keep their place.
    """
    at = _times(rng)
    names = rng.integers(1, ACCOUNTS, DECISIONS)
    bad = rng.random(DECISIONS) < ERRORS
    names[bad & (rng.random(DECISIONS) < LOUD)] = 0
    places = rng.random(ACCOUNTS)
    steps = np.array(STEPS)[(at * len(STEPS)).astype(int)]
    weights = np.array([step.weight / 100 for step in PLAN.steps])
    said = zip(names.tolist(), steps.tolist(), at.tolist(), bad.tolist(), strict=True)
    return [
        Sighting(
            account=f"account-{name}",
            is_candidate=bool(places[name] < weights[step]),
            share=float(weights[step]),
            step=step,
            at=BEGAN + timedelta(hours=HOURS * moment),
            chance=None,
            bad=frozenset({"errors", "fallbacks"}) if is_bad else frozenset(),
        )
        for name, step, moment, is_bad in said
    ]


def _times(rng: Generator) -> Floats:
    """Return when decisions are made, as shares of a day."""
    grid = np.linspace(0, 1, 24 * 60 + 1)
    until = grid + SWING / (2 * np.pi) * np.sin(2 * np.pi * grid - np.pi)  # at noon most
    phase = (until - until[0]) / (until[-1] - until[0])
    return np.minimum(np.interp(np.sort(rng.random(DECISIONS)), phase, grid), 1 - 1e-9)


def _judged(seen: list[Sighting]) -> Action:
    """Return the verdict on all of a day."""
    found, last = Evidence(), release(step=STEPS[-1])
    found.saw(PLAN, seen)
    return judge.verdict(last, found, seen[-1].at).action


def _judged_by_minute(seen: list[Sighting]) -> bool:
    """Is it undone by a judge that looks every minute?"""
    found = Evidence()
    for _, minute in groupby(seen, key=lambda each: each.at.replace(second=0, microsecond=0)):
        told = list(minute)
        found.saw(PLAN, told)
        at = release(step=told[-1].step)
        if judge.verdict(at, found, told[-1].at).action == Action.ROLLBACK:
            return True
    return False


def _found(seed: int, how: dict[str, float]) -> tuple[int | None, int | None]:
    """Return after how many leads a candidate is found to predict worse, and not to be calibrated;
    None for one that is not.
    """
    rng = np.random.default_rng([2, seed])
    return _crossed(leads(rng, AT_MOST, **how))


def _equal(seed: int) -> tuple[int | None, int | None]:
    """The same of a candidate with as much noise as what answers, each its own."""
    rng = np.random.default_rng([3, seed])
    chance, _, won = leads(rng, AT_MOST)
    logit = np.log(chance / (1 - chance))
    one, other = (1 / (1 + np.exp(-logit - rng.normal(0, NOISE, AT_MOST))) for _ in range(2))
    return _crossed((one, other, won))


def _crossed(told: Leads) -> tuple[int | None, int | None]:
    stable, candidate, won = told
    guards = PLAN.guards
    apart = pairs.differences(stable, candidate, won)
    worse = pairs.gains(apart, margin=guards.quality.margin)
    off = calibrated.gains(candidate, won)
    return _first(worse, guards.quality.alpha), _first(off, guards.calibration.alpha)


def _first(gains: Floats, alpha: float) -> int | None:
    """Return after how many rows the evidence first spoke."""
    _, curve = Wealth.of(gains.shape[1]).after(gains)
    above = np.flatnonzero(curve >= log(1 / alpha))
    return int(above[0]) + 1 if len(above) else None


def _falsely(ended: list[Ended]) -> Figures:
    count = sum(each.decisions for each in ended) // DECISIONS
    if differing := sum(each.differing for each in ended):
        raise SystemExit(f"looks every minute must come to the same, got {differing} others")
    return {
        "releases": count,
        "decisions_each": DECISIONS,
        "false_rollback_share": sum(each.undone for each in ended) / count,
        "false_hold_share": sum(each.held for each in ended) / count,
        "judged_by_minute": sum(each.by_minute for each in ended),
    }


def _models(found: dict[str, list[tuple[int | None, int | None]]]) -> Figures:
    """Return the figures of models with a fault; one that is not found counts as the most leads."""
    worse = [quality for quality, _ in found["worse"]]
    either = {kind: [_sooner(*each) for each in found[kind]] for kind in MISCALIBRATED}
    every = [each for kind in either.values() for each in kind]
    return {
        "models_each": len(worse),
        "worse_found_share": _share(worse),
        "worse_found_median": _median(worse),
        "miscalibrated_found_share": _share(every),
        "miscalibrated_found_median": _median(every),
        "miscalibrated_each": {
            kind: {"found_share": _share(each), "median": _median(each)}
            for kind, each in either.items()
        },
    }


def _equals(found: list[tuple[int | None, int | None]]) -> Figures:
    """Return the figures of models that are as good; with noise, both are too sure of themselves,
    which calibration may say.
    """
    return {
        "equal_models": len(found),
        "equal_leads_each": AT_MOST,
        "equal_rejected_share": _share([quality for quality, _ in found]),
        "equal_called_uncalibrated_share": _share([off for _, off in found]),
    }


def _sooner(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _share(found: list[int | None]) -> float:
    return sum(each is not None for each in found) / len(found)


def _median(found: list[int | None]) -> float:
    return float(np.median([each or AT_MOST for each in found]))
