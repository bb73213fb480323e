"""Crowds: how many units are expected where, step by step, if nothing is done, and their value.

What is open at the start, and what arrives, walks on by the mean chances. A bloc is the groups of
one segment and team: they share a desk, and plans tell no finer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.forecast import learning, moves, worth

if TYPE_CHECKING:
    import pandas as pd

    from serving.forecast.amounts import LogNormal
    from serving.forecast.experiment import Experiment
    from serving.forecast.learning import Learnt

OPEN, NEW = 0, 1  # at the start, and what arrives


class Blocs(NamedTuple):
    """Segments and teams."""

    names: tuple[tuple[str, str], ...]
    of_group: np.ndarray  # int64 [groups]


class Crowd(NamedTuple):
    """Means, float64 [steps, 2 (OPEN, NEW), blocs, strata, stages, ages]."""

    units: np.ndarray
    cents: np.ndarray  # value of these units if they are won


def blocs(labels: pd.DataFrame) -> Blocs:
    """Return the blocs of groups with these labels."""
    pairs = list(zip(labels["segment"], labels["team"], strict=True))
    names = tuple(sorted(set(pairs)))
    return Blocs(names, np.array([names.index(pair) for pair in pairs], np.int64))


def chances(learnt: Learnt) -> np.ndarray:
    """Return the mean chances of a step, by age; shocks are averaged in them."""
    return worth.by_age(moves.shares(learnt.moves), learnt.funnel.band_of)


def crowd(asked: Experiment, among: Blocs) -> Crowd:
    """Return who is expected where at the moment in which each step lists units."""
    by, learnt = chances(asked.learnt), asked.learnt
    shape = (2, len(among.names), *by.shape[:3])
    unknown = _mean(learnt.amounts)
    here = np.zeros((2, *shape))  # units, then cents
    here[:, OPEN] = _started(asked, among, shape[1:], unknown)
    arriving = _arriving(asked, among, shape[1:])
    found = np.empty((asked.steps, *here.shape))
    late = np.zeros(shape[1:])
    for step in range(asked.steps):
        # half of a step's arrivals take part in it, half from the next on
        fresh = late + arriving[step] / 2.0
        here[:, NEW] += np.stack([fresh, fresh * unknown])
        late = arriving[step] / 2.0
        found[step] = here
        here = worth.onward(by, here)
    return Crowd(found[:, 0], found[:, 1])


def _started(asked: Experiment, among: Blocs, shape: tuple[int, ...], unknown: float) -> np.ndarray:
    start, found = asked.start, np.zeros((2, *shape))
    age = np.clip(start.stayed, 0, shape[-1] - 1)
    place = (among.of_group[start.group], start.stratum, start.stage, age)
    known = start.cents * _mean(asked.learnt.revised)
    np.add.at(found[0], place, 1.0)
    np.add.at(found[1], place, np.where(start.cents >= 0, known, unknown))
    return found


def _arriving(asked: Experiment, among: Blocs, shape: tuple[int, ...]) -> np.ndarray:
    """Return the units expected to arrive in each step: float64 [steps, blocs, ...]."""
    rates, arrivals = learning.mean(asked.learnt).rates[0], asked.arrivals
    share = np.zeros((len(rates[0]), shape[1], shape[0]))
    np.add.at(share.transpose(2, 0, 1), among.of_group, arrivals.share.transpose(2, 0, 1))
    found = np.zeros((len(rates), *shape))
    for kind, stage in enumerate(arrivals.stage):
        found[:, :, :, stage, 0] += rates[:, kind, None, None] * share[kind].T
    return found


def _mean(of: LogNormal) -> float:
    return float(np.exp(of.mean + of.sd**2 / 2.0))
