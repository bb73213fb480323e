"""Goals and risk: how likely a goal is reached, and which open deals carry the spread. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from serving.forecast.given import Outcome, Start

CHUNK = 512  # deals whose winners are unpacked at once


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How likely a goal is reached."""

    goal: int  # units or cents
    probability: float
    error: float  # standard error of it by the number of draws alone
    short: float  # mean of what is missing where it is missed, 0 where it never is


def reached(totals: np.ndarray, goal: int) -> Reached:
    """Return how likely totals, whole numbers [draws], reach a goal."""
    is_reached = totals >= goal
    probability = float(is_reached.mean())
    missing = (goal - totals)[~is_reached]
    return Reached(
        goal=goal,
        probability=probability,
        error=float(np.sqrt(probability * (1.0 - probability) / totals.size)),
        short=float(missing.mean()) if missing.size else 0.0,
    )


def shortfall(totals: np.ndarray, level: float = 0.05) -> tuple[int, float]:
    """Return the value at risk, a quantile of whole numbers [draws], and the expected shortfall:
    the mean of the draws that are no larger (Acerbi, Tasche, "On the coherence of expected
    shortfall", 2002, for a share of draws that is whole).
    """
    least = int(np.quantile(totals, level, method="inverted_cdf"))
    return least, float(totals[totals <= least].mean())


def carried(start: Start, outcome: Outcome) -> pd.DataFrame:
    """Return one row per deal open at T, those that carry most of the spread first.

    Columns: unit (place in the start), chance (share of draws in which it is won within the
    horizon), cents (-1 unknown), expected_cents (chance times cents, 0 where unknown), and share:
    the covariance of its value with the value won in all, in parts of the variance of that. The
    shares of all deals and of what is new add up to 1 (Euler allocation of the variance), so that
    those of the deals add up to at most that of the existing pipeline.
    """
    deals = np.flatnonzero(start.part == 0)
    total = outcome.cents.sum(axis=(1, 2, 3))
    cents = np.maximum(start.cents, 0)[deals]
    chance, together = _with(outcome.winners, deals, total - int(total.mean()))
    spread = float(total.var())
    rows = pd.DataFrame(
        {
            "unit": deals,
            "chance": chance,
            "cents": start.cents[deals],
            "expected_cents": chance * cents,
            "share": together * cents / spread if spread else np.zeros(deals.size),
        }
    )
    return rows.sort_values(["share", "unit"], ascending=[False, True], ignore_index=True)


def _with(
    winners: np.ndarray, deals: np.ndarray, around: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return of each deal the share of draws in which it is won, and the covariance of that with
    `around`, int64 [draws]: whole numbers until the last division, so that no order of summing
    tells.
    """
    chance, together = np.empty(deals.size), np.empty(deals.size)
    draws = winners.shape[0]
    for first in range(0, deals.size, CHUNK):
        chosen = deals[first : first + CHUNK]
        is_won = (winners[:, chosen // 8] >> (chosen % 8).astype(np.uint8)) & 1
        place = slice(first, first + chosen.size)
        chance[place] = is_won.sum(axis=0, dtype=np.int64) / draws
        sums = around @ is_won.astype(np.int64)
        together[place] = sums / draws - chance[place] * (around.sum() / draws)
    return chance, together
