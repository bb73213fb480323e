"""The plan of a scenario: the cells of its levers, the best shares, and how sure that is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.forecast import cells, crowds, learning, plans, worth
from serving.forecast.plans import Limits

if TYPE_CHECKING:
    from serving.forecast.cells import Listed, Terms
    from serving.forecast.crowds import Blocs
    from serving.forecast.desks import Desks
    from serving.forecast.experiment import Experiment
    from serving.forecast.levers import Levers

REGRET_DRAWS = 60  # parameters for which the best plan is sought once more
_OF_LEVERS = 2**32  # keeps their numbers apart from those of the parameters


class Cell(NamedTuple):
    """Whom a plan reaches."""

    lever: int
    segment: str
    stratum: int
    share: float  # of those that the lever would reach
    contacts: float
    gain: float  # cents for each contact, less what it costs


@dataclass(frozen=True, kw_only=True, eq=False)
class Planned:
    """The best shares that were found, and what they rest on."""

    share: np.ndarray  # float64 [levers, strata, groups], times that of the levers
    cells: tuple[Cell, ...]  # those that hold anybody
    spent: float  # cents
    budget_price: float  # gain of the last cent
    contact_price: np.ndarray  # float64 [desks], cents for the last contact of each
    regret: np.ndarray  # float64 [draws], cents


def plan(
    asked: Experiment, levers: Levers, desks: Desks, terms: list[Terms], *, budget: float,
    among: Blocs,
) -> Planned:  # fmt: skip
    """Find whom levers should reach within a budget of cents and the hours of desks.

    Gains are taken along the mean course of the units, where nobody waits and contacts of several
    levers do not meet: what the plan really brings is for its simulation to say.
    """
    crowd = crowds.crowd(asked, among)
    chances = crowds.chances(asked.learnt)
    reached = [cells.listed(levers, n, crowd, among, chances=chances) for n in range(len(terms))]
    mean = _gains(levers, reached, chances, levers.log_ratio)
    table = cells.table(levers, reached, mean, terms, among)
    limits = Limits(budget, desks.capacity.sum(axis=1).astype(float))
    found = plans.choose(table, *limits)
    gains = table.gain + np.stack(
        [each.ravel() - mean.ravel() for each in _drawn(asked, levers, reached)]
    )
    shape = mean.shape
    return Planned(
        share=_thinned(levers, found.share.reshape(shape)[:, among.of_group].transpose(0, 2, 1)),
        cells=tuple(_cells(table, found.share, shape, among)),
        spent=float(table.cost @ found.share),
        budget_price=found.budget_price,
        contact_price=found.contact_price,
        regret=plans.regrets(table, gains, found.share, limits=limits),
    )


def _thinned(levers: Levers, share: np.ndarray) -> np.ndarray:
    """Return the shares of the rate, float64 [levers, strata, groups], that make so many shares of
    the contacts: who is listed less is free more often.

    At a rate r, in force for n steps, a unit is contacted f = r / (1 + r (n - 1)) times in a step.
    """
    rate = levers.rate[:, None, None] * levers.share
    blocked = np.where(levers.once, 0, levers.lasts - 1)[:, None, None]
    wanted = share * rate / (1.0 + rate * blocked)
    needed = wanted / (1.0 - wanted * blocked)
    whole = levers.rate[:, None, None]
    found = np.divide(needed, whole, out=np.zeros_like(needed), where=whole > 0.0)
    return np.asarray(np.minimum(levers.share, found))


def _drawn(asked: Experiment, levers: Levers, reached: list[Listed]) -> list[np.ndarray]:
    """Return the gains under draws of the parameters, those of the simulation's first draws."""
    several = min(REGRET_DRAWS, asked.draws)
    rows = learning.sample(asked.learnt, asked.seed, 0, several)
    found = []
    for draw in range(several):
        key = np.array([asked.seed, _OF_LEVERS + draw], np.uint64)
        rng = np.random.Generator(np.random.Philox(key=key))
        ratio = levers.log_ratio + levers.log_ratio_sd * rng.standard_normal(len(reached))
        chances = worth.by_age(rows.moves[draw], asked.frame.band_of)
        found.append(_gains(levers, reached, chances, ratio))
    return found


def _gains(
    levers: Levers, reached: list[Listed], chances: np.ndarray, ratio: np.ndarray
) -> np.ndarray:
    """Return the value that each lever adds: float64 [levers, blocs, strata]."""
    found = []
    for n, there in enumerate(reached):
        wear, past = _wear(levers, n), float(levers.contacted[n])
        forward = _against(float(ratio[n]), past) * wear
        lost = _against(float(levers.lost_log_ratio[n]), past) * wear
        found.append(cells.gained(levers, n, there, chances, logs=(forward, lost)))
    return np.stack(found)


def _against(log_ratio: float, contacted: float) -> float:
    """Return a log ratio against the mix of history; see laws.effects."""
    return log_ratio - float(np.log1p(contacted * np.expm1(log_ratio)))


def _wear(levers: Levers, lever: int) -> float:
    """Return what is left of an effect where units are as tired as such a rate makes them."""
    rate = float(levers.rate[lever])
    often = rate / (1.0 + rate * (levers.lasts[lever] - 1))
    tired = often * levers.tires[lever] / max(1.0 - levers.decay, 0.05)
    return float(np.exp(-levers.saturation[lever] * tired))


def _cells(
    table: plans.Cells, share: np.ndarray, shape: tuple[int, ...], among: Blocs
) -> list[Cell]:
    """Put the teams of a segment together; cells that hold nobody are left out."""
    contacts, gain = table.contacts.reshape(shape), table.gain.reshape(shape)
    taken = share.reshape(shape) * contacts
    segments = np.array([segment for segment, _ in among.names], object)
    found = []
    for lever in range(shape[0]):
        for segment in sorted(set(segments)):
            mine = segments == segment
            every, made, worth_ = (x[lever, mine].sum(axis=0) for x in (contacts, taken, gain))
            for stratum in np.flatnonzero(every > 0.0):
                each = every[stratum]
                found.append(
                    Cell(lever, str(segment), int(stratum), float(made[stratum] / each),
                         float(made[stratum]), float(worth_[stratum] / each))
                )  # fmt: skip
    return found
