"""Releases that are drawn by lot, to see how often a judge is wrong and how soon it is right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from serving.releases.plan import load_plan
from serving.releases.release import Parts, Release, State, begin
from serving.releases.sighting import Overridden, Pair, Sighting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.random import Generator
    from numpy.typing import NDArray

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
BLUE = Parts(model="b" * 64, policy="p" * 64, views={"lead_engagement": "v" * 64})
GREEN = BLUE.model_copy(update={"model": "a" * 64})


def release(plan: str = "canary", step: int = 0) -> Release:
    """Return a release that is running at a step."""
    made = begin(
        id="r1", target="lead_qualification", policy="lead_routing", plan=load_plan(plan), salt="s",
        stable=BLUE, candidate=GREEN, before=None, why="a test", now=BEGAN,
    )  # fmt: skip
    assert isinstance(made, Release)
    return made.model_copy(update={"step": step, "state": State.RUNNING})


def sightings(
    rng: Generator,
    count: int,
    *,
    share: float,
    rates: tuple[float, float],
    per_s: float = 200.0,
    guard: str = "errors",
    accounts: int | None = None,
    loud: float = 0.0,
    step: int = 0,
) -> list[Sighting]:
    """Return decisions in their order; by default each is of an account of its own.

    `rates`: of what is bad, stable and candidate. `accounts`: of how many they are. `loud`: share
    of what is bad that is of one account.
    """
    names = np.arange(count) if accounts is None else rng.integers(0, accounts, count)
    arms = rng.random(count if accounts is None else accounts) < share
    is_candidate = arms[names]
    bad = rng.random(count) < np.where(is_candidate, rates[1], rates[0])
    loudly = bad & (rng.random(count) < loud)
    names = np.where(loudly, 0, names)
    return [
        Sighting(
            account=f"account-{name}",
            is_candidate=bool(arms[name]),
            share=share,
            step=step,
            at=BEGAN + timedelta(seconds=n / per_s),
            chance=None,
            bad=frozenset({guard}) if is_bad else frozenset(),
        )
        for n, (name, is_bad) in enumerate(zip(names.tolist(), bad.tolist(), strict=True))
    ]


def overrides(rng: Generator, count: int, *, share: float, ratio: float) -> list[Overridden]:
    """Return decisions that persons decided otherwise, each of an account of its own; the rate of
    that is `ratio` times as high in the candidate.
    """
    of_candidate = share * ratio / (share * ratio + 1 - share)
    return [
        Overridden(account=f"account-{n}", is_candidate=is_its, share=share)
        for n, is_its in enumerate((rng.random(count) < of_candidate).tolist())
    ]


def leads(
    rng: Generator, count: int, *, noise: float = 0.0, slope: float = 1.0, shift: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return chances of a stable model that is right, of a candidate that is worse by noise on the
    log-odds, or told with another slope or shift, and outcomes. One in ten leads converts.
    """
    logit = rng.normal(-2.55, 1.0, count)
    chance = 1 / (1 + np.exp(-logit))
    told = shift + slope * (logit + rng.normal(0.0, noise, count) if noise else logit)
    return chance, 1 / (1 + np.exp(-told)), rng.random(count) < chance


def matured(told: Iterable[tuple[float, float, bool]]) -> list[Pair]:
    """Return pairs of leads of which each is scored once: stable, candidate, outcome."""
    return [
        Pair(lead=f"lead-{n}", stable=float(s), candidate=float(c), outcome=bool(o))
        for n, (s, c, o) in enumerate(told)
    ]
