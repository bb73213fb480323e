"""Aalen-Johansen: the share of units in every stage by steps since they began, with its error.

Assumes nothing about how chances depend on time in stage. With dN(k) moves from stage to stage in
step k of units' lives, and Y(k) units in the stage, occupancy is the product integral
p(k + 1) = p(k) (I + dA(k)), dA = dN / Y (Aalen, Johansen, Scandinavian Journal of Statistics 5,
1978); its covariance is that of Greenwood's formula for many states (Andersen, Borgan, Gill,
Keiding, "Statistical Models Based on Counting Processes", 1993, IV.4.1): each step adds
p_s^2 (diag(q) - q q') / Y_s, and carries the rest on. Units still open at T are censored there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.forecast.funnels import banded

if TYPE_CHECKING:
    from serving.forecast.funnels import Funnel
    from serving.forecast.person import Person


class Occupancy(NamedTuple):
    """By number of steps since the beginning, in which the first is the one of arrival."""

    share: np.ndarray  # float64 [steps + 1, stages + 2], sums to 1
    error: np.ndarray  # float64, the same shape: standard errors
    at_risk: np.ndarray  # int64 [steps, stages], units seen in each stage


def estimate(person: Person, begins: int, steps: int) -> Occupancy:
    """Estimate the occupancy of units that began in a stage, over so many steps."""
    rows, age = _ages(person, begins)
    states = len(person.funnel.states)
    counts = np.zeros((steps, states, states))
    near = age < steps
    np.add.at(counts, (age[near], person.stage[rows][near], person.then[rows][near]), 1.0)
    share, covariance = np.zeros((steps + 1, states)), np.zeros((steps + 1, states, states))
    share[0, begins] = 1.0
    for step in range(steps):
        chances, noise = _step(counts[step], share[step])
        share[step + 1] = share[step] @ chances
        covariance[step + 1] = chances.T @ covariance[step] @ chances + noise
    error = np.sqrt(np.maximum(0.0, np.diagonal(covariance, axis1=1, axis2=2)))
    at_risk = counts[:, : states - 2].sum(axis=-1).astype(np.int64)
    return Occupancy(share=share, error=error, at_risk=at_risk)


def propagated(chances: np.ndarray, funnel: Funnel, begins: int, steps: int) -> np.ndarray:
    """Return the occupancy that chances [stages, bands, stages + 2] lead to, by steps since the
    beginning: float64 [steps + 1, stages + 2]. In the first step a unit takes part with chance one
    half.
    """
    stages, ages = len(funnel.stages), steps + 1
    here, ended = np.zeros((stages, ages)), np.zeros(2)
    here[begins, 0] = 1.0
    band = banded(funnel.band_of, np.arange(ages))
    found = np.zeros((steps + 1, stages + 2))
    found[0, begins] = 1.0
    for step in range(steps):
        moved, stayed = _moved(here, chances[:, band])
        part, age = (0.5, 0) if step == 0 else (1.0, 1)
        here = (1.0 - part) * here + part * np.roll(stayed, age, axis=1)
        here[:, 0] += part * moved[:stages]
        ended += part * moved[stages:]
        found[step + 1] = np.append(here.sum(axis=1), ended)
    return found


def _ages(person: Person, begins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of units that began in a stage, and how many steps after it each is."""
    first = np.full(int(person.unit.max(initial=-1)) + 1, -1)
    is_ours = person.is_first & (person.stage == begins)
    first[person.unit[is_ours]] = person.step[is_ours]
    rows = np.flatnonzero(first[person.unit] >= 0)
    return rows, person.step[rows] - first[person.unit[rows]]


def _step(counts: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return I + dA of a step, and what it adds to the covariance of the occupancy."""
    at_risk = counts.sum(axis=1)
    seen = at_risk > 0
    chances = np.eye(len(counts))
    chances[seen] = counts[seen] / at_risk[seen, None]
    weight = np.where(seen, share**2 / np.maximum(at_risk, 1.0), 0.0)
    spread = np.einsum("s,sd->d", weight, chances)
    return chances, np.diag(spread) - np.einsum("s,sd,se->de", weight, chances, chances)


def _moved(here: np.ndarray, chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what moves to each state, and what stays in each stage by time in it."""
    stages = len(here)
    flows = here[:, :, None] * chances
    stay = np.arange(stages)
    stayed = flows[stay, :, stay].copy()
    flows[stay, :, stay] = 0.0
    return flows.sum(axis=(0, 1)), stayed
