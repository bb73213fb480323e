"""Does a lever pay? The difference to business as usual, draw by draw on the same luck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from serving.forecast.given import Outcome


@dataclass(frozen=True, kw_only=True)
class Payoff:
    """Over the whole horizon, against the baseline."""

    won: tuple[float, int, int]  # extra units: mean, p05, p95
    value_cents: tuple[float, int, int]  # extra value of units won: mean, p05, p95
    contacts: float  # mean number
    cost_cents: float  # mean
    unsubscribed: float  # mean number
    pays: float  # share of draws whose extra value exceeds the cost of the contacts


def payoff(baseline: Outcome, lever: Outcome, cost_per_contact_cents: np.ndarray) -> Payoff:
    """Compare two arms; the cost of a contact is int64 cents per lever."""
    won = _total(lever.won) - _total(baseline.won)
    value = _total(lever.cents) - _total(baseline.cents)
    contacts = lever.contacts.sum(axis=(1, 2))
    cost = contacts @ np.asarray(cost_per_contact_cents, np.int64)
    return Payoff(
        won=_range(won),
        value_cents=_range(value),
        contacts=float(contacts.sum(axis=1).mean()),
        cost_cents=float(cost.mean()),
        unsubscribed=float(lever.lost_to.sum(axis=1).mean()),
        pays=float((value > cost).mean()),
    )


def _total(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts.sum(axis=(1, 2, 3)))


def _range(values: np.ndarray) -> tuple[float, int, int]:
    low, high = np.quantile(values, (0.05, 0.95), method="inverted_cdf")
    return float(values.mean()), int(low), int(high)
