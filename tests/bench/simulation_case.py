"""The funnel that the simulators are measured on: as many units arrive as close, desks are short of
time, contacts tire, shocks are shared.

Five stages, six strata, six bands of weeks in the stage, ten groups in five segments, three desks:
one serves first in first out, one the freshest, one by rank. Two levers share the desks; each unit
is meant by one of them, so that a peer may treat the contacts of a week at once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from serving.forecast import kernel
from serving.forecast.desks import FIFO, FRESHEST, PRIORITY, Desks
from serving.forecast.given import Arrivals, Frame, Outcome, Parameters, Start
from serving.forecast.kernel import Span
from serving.forecast.levers import Levers

STAGES, STRATA, GROUPS, SEGMENTS, DESKS, WEEKS = 5, 6, 10, 5, 3, 52
BAND_STARTS = (0, 1, 2, 4, 8, 13)
BAND_OF = np.searchsorted(BAND_STARTS, np.arange(BAND_STARTS[-1] + 1), side="right") - 1
DESK_OF = np.arange(GROUPS) % DESKS
ARRIVING = 0.041  # units a week for each one open at first
CONTACTS = 0.015  # of each desk a week, likewise

type Case = dict[str, Any]


def case(units: int, draws: int) -> Case:
    """Return what kernel.simulate is given, but the span."""
    rng = np.random.default_rng(7)
    return {
        "start": _start(rng, units),
        "arrivals": Arrivals(
            stage=np.array([0]),
            share=rng.dirichlet(np.full(STRATA * GROUPS, 20.0)).reshape(1, STRATA, GROUPS),
            desk_of=DESK_OF,
        ),
        "frame": Frame(STAGES, BAND_OF, np.arange(GROUPS) % SEGMENTS, 2),
        "parameters": _parameters(rng, units, draws),
        "levers": _levers(),
        "desks": Desks(
            capacity=np.full((DESKS, WEEKS), int(CONTACTS * units)),
            discipline=np.array([FIFO, FRESHEST, PRIORITY]),
            rank=np.arange(STRATA),
        ),
    }


def simulate(given: Case, first_draw: int) -> Outcome:
    """Simulate as many draws as there are rows of parameters."""
    span = Span(1, first_draw, given["parameters"].moves.shape[0], WEEKS)
    return kernel.simulate(**given, span=span)


def open_weeks(given: Case, outcome: Outcome) -> int:
    """Return how many weeks of an open unit there were: those open as each week began."""
    draws, units = outcome.open.shape[0], given["start"].name.size
    return int(draws * units + outcome.open[:, :-1].sum())


def _start(rng: np.random.Generator, units: int) -> Start:
    group = rng.integers(0, GROUPS, units)
    stage = rng.choice(STAGES, units, p=(0.35, 0.25, 0.2, 0.12, 0.08))
    return Start(
        name=rng.integers(0, 2**63, units, dtype=np.uint64),
        stage=stage,
        stayed=rng.integers(0, 14, units),
        stratum=rng.integers(0, STRATA, units),
        group=group,
        desk=DESK_OF[group],
        part=(stage < 2).astype(np.int64),
        cents=np.where(stage < 2, -1, rng.integers(100_000, 5_000_000, units)),
        tired=rng.exponential(0.5, units),
    )


def _parameters(rng: np.random.Generator, units: int, draws: int) -> Parameters:
    chances = np.zeros((STRATA, STAGES, len(BAND_STARTS), STAGES + 2))
    for stage in range(STAGES):
        chances[:, stage, :, stage + 1] += 0.09
        chances[:, stage, :, max(0, stage - 1)] += 0.01
        chances[:, stage, :, STAGES + 1] = 0.03
    chances *= np.linspace(0.7, 1.3, STRATA)[:, None, None, None]
    chances *= np.linspace(1.3, 0.7, len(BAND_STARTS))[:, None]
    chances[:, range(STAGES), :, range(STAGES)] += (1.0 - chances.sum(axis=-1)).transpose(1, 0, 2)
    drawn = rng.gamma(chances * 400.0 + 1e-12, size=(draws, *chances.shape))
    return Parameters(
        moves=drawn / drawn.sum(axis=-1, keepdims=True),
        rates=np.full((draws, WEEKS, 1), ARRIVING * units),
        spread=np.array([0.05]),
        amounts=np.tile([math.log(800_000.0), 0.8], (draws, 1)),
        revised=np.tile([-0.05, 0.2], (draws, 1)),
        shock_sd=np.array([0.2, *[0.15] * SEGMENTS]),
        tilt=np.zeros((WEEKS, STAGES)),
        level=np.zeros((draws, WEEKS)),
    )


def _levers() -> Levers:
    first = np.arange(STRATA) < STRATA // 2
    return Levers(
        stages=np.array([[True, True, False, False, False], [True] * STAGES]),
        strata=np.array([first, ~first]),
        groups=np.ones((2, GROUPS), bool),
        parts=np.ones((2, 3), bool),
        first=np.array([0, 2]),
        last=np.array([WEEKS, WEEKS]),
        rate=np.array([0.07, 0.05]),
        log_ratio=np.array([0.4, 0.3]),
        log_ratio_sd=np.array([0.1, 0.1]),
        contacted=np.array([0.1, 0.2]),
        lasts=np.array([4, 3]),
        saturation=np.array([0.2, 0.3]),
        unsubscribe=np.array([0.01, 0.005]),
        share=np.ones((2, STRATA, GROUPS)),
        at_once=np.zeros(2, bool),
        once=np.zeros(2, bool),
        stalled=np.zeros(2, np.int64),
        lost_log_ratio=np.zeros(2),
        lost_log_ratio_sd=np.zeros(2),
        worth=np.ones(2),
        tires=np.ones(2),
        decay=0.85,
    )
