"""Small funnels with everything in them: arrivals, shocks, levers, desks, fatigue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from serving.forecast import growth, kernel, levers
from serving.forecast.desks import FIFO, FRESHEST, PRIORITY, Desks
from serving.forecast.given import Arrivals, Frame, Outcome, Parameters, Start
from serving.forecast.kernel import Span
from serving.forecast.levers import Levers
from serving.forecast.luck import Chance
from serving.forecast.state import State, begin, room, world

STAGES, STRATA, GROUPS, SEGMENTS, DESKS, KINDS, LEVERS = 4, 3, 5, 2, 3, 2, 2
BAND_OF = np.array([0, 1, 1, 2])
SEGMENT_OF = np.arange(GROUPS) % SEGMENTS
DESK_OF = np.arange(GROUPS) % DESKS

type Case = dict[str, Any]


def case(seed: int = 0, *, units: int = 60, draws: int = 3, steps: int = 14) -> Case:
    """Return what kernel.simulate is given, by name."""
    rng = np.random.default_rng(seed)
    return {
        "start": start(rng, units),
        "arrivals": arrivals(rng),
        "frame": Frame(STAGES, BAND_OF, SEGMENT_OF, 2),
        "parameters": parameters(rng, draws, steps),
        "levers": two_levers(),
        "desks": Desks(
            capacity=rng.integers(0, 4, (DESKS, steps)),
            discipline=np.array([FIFO, FRESHEST, PRIORITY]),
            rank=np.array([1, 5, 3]),
        ),
        "growth": growth.none(KINDS, GROUPS),
        "span": Span(seed * 2**33 + 7, 11, draws, steps),
    }


def run(case: Case) -> Outcome:
    """Simulate a case with the kernel."""
    return kernel.simulate(**case)


def same(one: Outcome, other: Outcome) -> bool:
    """Is every number of both the same?"""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def start(rng: np.random.Generator, units: int) -> Start:
    """Return units of mixed ages in all stages; of some the amount is not known."""
    group = rng.integers(0, GROUPS, units)
    stage = rng.integers(0, STAGES, units)
    return Start(
        name=rng.integers(0, 2**63, units, dtype=np.uint64),
        stage=stage,
        stayed=rng.integers(0, 6, units),
        stratum=rng.integers(0, STRATA, units),
        group=group,
        desk=DESK_OF[group],
        part=(stage < 2).astype(np.int64),
        cents=np.where(rng.random(units) < 0.3, -1, rng.integers(0, 10**7, units)),
        tired=np.where(rng.random(units) < 0.5, rng.random(units) * 3.0, 0.0),
    )


def arrivals(rng: np.random.Generator) -> Arrivals:
    """Return two kinds, one of which begins as a deal."""
    share = rng.dirichlet(np.ones(STRATA * GROUPS), KINDS).reshape(KINDS, STRATA, GROUPS)
    return Arrivals(np.array([0, 2]), share, DESK_OF)


def parameters(rng: np.random.Generator, draws: int, steps: int) -> Parameters:
    """Return chances that differ in every stratum, stage, band and draw."""
    shape = (draws, STRATA, STAGES, BAND_OF.max() + 1)
    weight = np.full((STAGES, STAGES + 2), 0.3)
    weight[np.arange(STAGES), np.arange(STAGES)] = 6.0
    weight[:, STAGES:] = 0.6
    moves = rng.gamma(weight[:, None], size=(*shape, STAGES + 2))
    return Parameters(
        moves=moves / moves.sum(axis=-1, keepdims=True),
        rates=rng.uniform(0.0, 4.0, (draws, steps, KINDS)),
        spread=np.array([0.3, 0.0]),
        amounts=np.tile([12.0, 0.8], (draws, 1)),
        revised=np.tile([-0.1, 0.2], (draws, 1)),
        shock_sd=np.array([0.3, 0.0, 0.5]),
        tilt=np.linspace(-0.3, 0.3, steps * STAGES).reshape(steps, STAGES),
        level=rng.normal(0.0, 0.3, (draws, steps)),
    )


def two_levers() -> Levers:
    """Return a lever on early units and one on most of all, which share desks."""
    return Levers(
        stages=np.array([[True, True, False, False], [True, True, True, True]]),
        strata=np.array([[True, True, True], [True, False, True]]),
        groups=np.array([[True] * GROUPS, [True, True, False, True, True]]),
        parts=np.array([[True, True, True], [False, True, True]]),
        first=np.array([1, 0]),
        last=np.array([10, 100]),
        rate=np.array([0.3, 0.2]),
        log_ratio=np.array([0.9, -0.4]),
        log_ratio_sd=np.array([0.2, 0.1]),
        contacted=np.array([0.2, 0.0]),
        lasts=np.array([3, 2]),
        saturation=np.array([0.4, 0.0]),
        unsubscribe=np.array([0.05, 0.02]),
        share=np.ones((LEVERS, STRATA, GROUPS)),
        at_once=np.zeros(LEVERS, bool),
        once=np.zeros(LEVERS, bool),
        stalled=np.zeros(LEVERS, np.int64),
        lost_log_ratio=np.zeros(LEVERS),
        lost_log_ratio_sd=np.zeros(LEVERS),
        worth=np.ones(LEVERS),
        tires=np.ones(LEVERS),
        decay=0.8,
    )


def no_levers() -> Levers:
    """Return business as usual."""
    return levers.none(STAGES, STRATA, GROUPS)


def stepped(case: Case) -> tuple[State, Callable[[int], None]]:
    """Return the state of the first draw, and what takes it a step on."""
    rows, span = case["parameters"], case["span"]
    given = world(
        case["frame"], case["arrivals"], rows, levers=case["levers"], desks=case["desks"],
        growth=case["growth"],
    )  # fmt: skip
    chance = Chance(span.seed, span.first_draw, 0)
    counts = kernel.arriving(rows.rates, rows.spread, chance)
    state = room(case["start"].name.size + int(counts.sum()), given)
    laws = kernel._tables(kernel._by_cell(rows), given, counts)
    laws = laws._replace(beside=np.zeros_like(counts[0]))
    kernel.tabulate.py_func(laws, given, chance)
    begin(state, case["start"], given)
    happened = Outcome(*(field[0] for field in kernel._nothing(case["start"], given, span)))
    return (
        state,
        lambda step: kernel.advance(state, given, laws, happened, chance._replace(step=step)),
    )


def every_kind(seed: int = 0, *, units: int = 120, draws: int = 2, steps: int = 18) -> Case:
    """Return a case with levers of every kind: by reps to those that stalled, by a system, with
    effects on being lost, at a price; and with campaigns, one for more and one for less.
    """
    rng = np.random.default_rng(seed + 1000)
    asked = case(seed, units=units, draws=draws, steps=steps)
    n = 4
    asked["levers"] = Levers(
        stages=np.array([[True, True, False, False], *[[True] * STAGES] * 3]),
        strata=np.array([[True] * STRATA, [True] * STRATA, [True, False, True], [True] * STRATA]),
        groups=np.array([[True] * GROUPS, [True, True, False, True, True], *[[True] * GROUPS] * 2]),
        parts=np.array([[True] * 3, [True, True, False], *[[True] * 3] * 2]),
        first=np.array([0, 2, 0, 3]),
        last=np.array([100, 12, 100, 100]),
        rate=np.array([0.5, 0.3, 0.25, 1.0]),
        log_ratio=np.array([0.9, 0.5, -0.2, 0.4]),
        log_ratio_sd=np.array([0.2, 0.1, 0.0, 0.1]),
        contacted=np.array([0.2, 0.1, 0.3, 0.0]),
        lasts=np.array([3, 2, 4, 2]),
        saturation=np.array([0.4, 0.2, 0.3, 0.0]),
        unsubscribe=np.array([0.05, 0.08, 0.02, 0.0]),
        share=rng.uniform(0.3, 1.0, (n, STRATA, GROUPS)),
        at_once=np.array([False, True, True, True]),
        once=np.array([False, False, False, True]),
        stalled=np.array([2, 0, 0, 1]),
        lost_log_ratio=np.array([0.0, 0.0, 0.8, -0.5]),
        lost_log_ratio_sd=np.array([0.0, 0.0, 0.2, 0.1]),
        worth=np.array([1.0, 1.0, 1.0, 0.85]),
        tires=np.array([1.0, 1.0, 1.0, 0.0]),
        decay=0.7,
    )
    asked["growth"] = growth.Growth(
        kinds=np.array([[True, False], [True, True], [False, True]]),
        groups=np.array([[True, True, False, False, True], [True] * GROUPS, [True] * GROUPS]),
        first=np.array([1, 4, 0]),
        last=np.array([9, 14, 100]),
        budget=np.array([3.0, 0.3, 2.0]),
        elasticity=np.array([0.9, 0.6, 0.4]),
        elasticity_sd=np.array([0.2, 0.3, 0.0]),
    )
    rows = asked["parameters"]
    asked["parameters"] = rows._replace(rates=rows.rates * 3.0)
    return asked
