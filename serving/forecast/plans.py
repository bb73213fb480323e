"""Plans: whom levers should reach within a budget and the hours there are. Pure.

Each cell (lever, segment, team, stratum) may be reached by a share of 0 to 1. Contacts of a cell
gain, cost, and take contacts of one desk, or of none. The best shares are those of a linear
program: with a price on the budget it falls apart into one fractional knapsack for each desk,
solved by taking the cells that gain most for a contact first (G. Dantzig, "Discrete-variable
extremum problems", 1957). The price is found by halves; where it spends too much just below and
too little just above, the mix of both that spends all is best too (Lagrange; H. Everett, 1963).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SYSTEM = -1  # in place of a desk: contacts that take nobody's hours
_HALVES = 200


class Cells(NamedTuple):
    """What reaching all of each cell means, one element each; over the whole horizon."""

    gain: np.ndarray  # float64, value less cost
    cost: np.ndarray  # float64, of the budget
    contacts: np.ndarray  # float64
    desk: np.ndarray  # int64, or SYSTEM


class Chosen(NamedTuple):
    """The best shares, and what one more of each resource would bring."""

    share: np.ndarray  # float64 [cells]
    budget_price: float  # of the last cent
    contact_price: np.ndarray  # float64 [desks], of the last contact of each


class Limits(NamedTuple):
    """What there is."""

    budget: float
    capacity: np.ndarray  # float64 [desks]


def choose(cells: Cells, budget: float, capacity: np.ndarray) -> Chosen:
    """Return the best shares under a budget and float64 [desks] contacts that can be made."""
    low, high = 0.0, _dearest(cells)
    free = _filled(cells, 0.0, capacity)
    if cells.cost @ free <= budget:
        return Chosen(free, 0.0, _prices(cells, 0.0, capacity))
    for _ in range(_HALVES):
        middle = (low + high) / 2.0
        spends = cells.cost @ _filled(cells, middle, capacity)
        low, high = (middle, high) if spends > budget else (low, middle)
    more, less = _filled(cells, low, capacity), _filled(cells, high, capacity)
    above, below = float(cells.cost @ more), float(cells.cost @ less)
    part = (budget - below) / (above - below) if above > below else 0.0
    share = part * more + (1.0 - part) * less
    return Chosen(share, high, _prices(cells, high, capacity))


def regrets(cells: Cells, gains: np.ndarray, chosen: np.ndarray, *, limits: Limits) -> np.ndarray:
    """Return how far chosen shares are below the best ones, if the gains were each of some draws,
    float64 [draws, cells]: float64 [draws].
    """
    return np.array([_regret(cells._replace(gain=row), chosen, limits) for row in gains])


def _regret(cells: Cells, chosen: np.ndarray, limits: Limits) -> float:
    best = choose(cells, limits.budget, limits.capacity).share
    return max(0.0, float(cells.gain @ best - cells.gain @ chosen))


def _dearest(cells: Cells) -> float:
    """Return a price at which nothing that costs is worth it."""
    costs = cells.cost > 0.0
    ratio = cells.gain[costs] / cells.cost[costs]
    return max(0.0, float(ratio.max(initial=0.0))) * (1.0 + 1e-9) + 1e-300


def _filled(cells: Cells, price: float, capacity: np.ndarray) -> np.ndarray:
    """Return the best shares where the budget costs so much for each cent."""
    net = cells.gain - price * cells.cost
    share = np.where((net > 0.0) & (cells.desk == SYSTEM), 1.0, 0.0)
    for desk, room in enumerate(capacity.tolist()):
        order, ratio = _order(cells, net, desk)
        taken = cells.contacts[order]
        left = np.maximum(0.0, room - np.concatenate([[0.0], np.cumsum(taken)[:-1]]))
        full = np.divide(left, taken, out=np.ones(len(order)), where=taken > 0.0)
        share[order] = np.minimum(1.0, full) * (ratio > 0.0)
    return share


def _order(cells: Cells, net: np.ndarray, desk: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of a desk, those that gain most for a contact first, and that gain."""
    mine = np.flatnonzero((cells.desk == desk) & (cells.contacts > 0.0))
    ratio = net[mine] / cells.contacts[mine]
    order = np.argsort(-ratio, kind="stable")
    return mine[order], ratio[order]


def _prices(cells: Cells, price: float, capacity: np.ndarray) -> np.ndarray:
    """Return what one more contact of each desk would gain: that of the cell that is cut short."""
    net, found = cells.gain - price * cells.cost, np.zeros(len(capacity))
    for desk, room in enumerate(capacity.tolist()):
        order, ratio = _order(cells, net, desk)
        past = np.flatnonzero(np.cumsum(cells.contacts[order]) > room)
        found[desk] = max(0.0, float(ratio[past[0]])) if past.size else 0.0
    return found
