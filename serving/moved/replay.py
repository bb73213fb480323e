"""Rows scored again by a model: log-odds and probability on a grid on which differences are exact.

A float64 difference is rounded, so parts of a change would add up to it but for some bits. On the
grid they do not: log-odds are whole multiples of 2^-44 within LOGIT_LIMIT, probabilities of 2^-50,
so every difference and every sum of a few of them, in any order, is a float64. The grid moves
log-odds by less than 3e-14 and a probability by less than 5e-16. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from serving import explored
from serving import policy as policies
from serving.calibrator import LOGIT_LIMIT
from serving.decide import cases_of

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.model import Model
    from serving.policy import Policy

LOGIT_BITS, PROBABILITY_BITS = 44, 50  # behind the point


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a model says of n rows, to the last bit."""

    margin: np.ndarray  # (n,) float32
    logit: np.ndarray  # (n,) float64, calibrated
    probability: np.ndarray  # (n,) float64


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What was said of n rows at one stage of a replay; numbers are on the grid."""

    logit: np.ndarray  # (n,) float64
    probability: np.ndarray  # (n,) float64
    routes: list[str]


def scored(model: Model, rows: pa.Table) -> Scored:
    """Score feature rows as `decide` does; the calibrated log-odds too, within LOGIT_LIMIT."""
    points = model.points(rows)
    found = model.score(model.encode(rows), points)
    logit = np.clip(model.calibrator.logit(found.margin, points), -LOGIT_LIMIT, LOGIT_LIMIT)
    return Scored(margin=found.margin, logit=logit, probability=found.probability)


def calibrated_as(model: Model, other: Model) -> Model:
    """Return a model with the calibrator of another."""
    return replace(model, calibrator=other.calibrator)


def stage(model: Model, policy: Policy, rows: pa.Table) -> Stage:
    """Score rows and route them."""
    found = scored(model, rows)
    low, high = model.calibrator.intervals(found.probability)
    chances = found.probability, low, high
    verdicts = policies.apply_all(policy, *chances, rows)
    if policy.explore is not None:
        cases = cases_of(rows, policy.features)
        verdicts = explored.drawn(policy, verdicts, cases, chances)
    return Stage(
        logit=on_grid(found.logit, LOGIT_BITS),
        probability=on_grid(found.probability, PROBABILITY_BITS),
        routes=[verdict.route for verdict in verdicts],
    )


def on_grid(values: np.ndarray, bits: int) -> np.ndarray:
    """Return the nearest whole multiples of 2^-bits.

    >>> on_grid(np.array([0.3]), 2).tolist()
    [0.25]
    """
    whole: np.ndarray = np.rint(np.ldexp(values, bits))
    return np.asarray(np.ldexp(whole, -bits))
