"""The state a simulation starts from: the deals and leads that were open at T."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from features import log
from serving.forecast import history
from serving.forecast.stages import WEEK_MICROSECONDS

if TYPE_CHECKING:
    from serving.forecast.history import History

LEAD = np.dtype(
    [
        ("name", np.uint64),  # its address in random numbers
        ("weeks", np.int64),  # whole weeks since creation
        ("begins", np.int64),  # first week it takes part in; -1 once closed
    ]
)
DEAL = np.dtype(
    [
        ("name", np.uint64),
        ("stage", np.int64),  # or WON or LOST once closed
        ("weeks", np.int64),  # whole weeks in the stage
        ("begins", np.int64),
        ("ends", np.int64),  # week in which it was won or lost; -1 while open
        ("cents", np.int64),  # -1 where the amount is drawn when it is won
    ]
)


class Start(NamedTuple):
    """What is open at T: leads as LEAD records, deals as DEAL records, each oldest first."""

    leads: np.ndarray
    deals: np.ndarray


def at(past: History) -> Start:
    """Return what was open at the time of `past`."""
    return Start(_open_leads(past), _open_deals(past))


def _open_leads(past: History) -> np.ndarray:
    rows = past.leads[past.leads["died"] == log.NEVER]
    leads = np.zeros(len(rows), LEAD)
    leads["name"] = _names(rows["lead"])
    leads["weeks"] = (past.at - rows["born"].to_numpy(np.int64)) // WEEK_MICROSECONDS
    return leads


def _open_deals(past: History) -> np.ndarray:
    rows = past.deals[past.deals["died"] == log.NEVER]
    now = pd.Series(np.full(len(rows), past.at, np.int64))
    stage, entered = history.stage_before(past.stages, rows["opportunity"], now)
    deals = np.zeros(len(rows), DEAL)
    deals["name"] = _names(rows["opportunity"])
    deals["stage"] = stage
    deals["weeks"] = (past.at - entered) // WEEK_MICROSECONDS
    deals["ends"] = -1
    deals["cents"] = rows["cents"].to_numpy(np.int64)
    return deals


def _names(keys: pd.Series) -> np.ndarray:
    """Return 63-bit hashes of keys; the top bit is kept for what does not exist yet."""
    hashed = pd.util.hash_array(keys.to_numpy(object), categorize=False)
    return np.asarray(hashed >> np.uint64(1), np.uint64)
