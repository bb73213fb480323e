"""The words of the funnel: stages, where a week may lead, and bands of waiting.

Stages are numbered in order, and the two ends follow them, so a destination above the stage is
forward unless it is LOST.
"""

from __future__ import annotations

import numpy as np

STAGES = ("discovery", "evaluation", "proposal", "negotiation")
WON = len(STAGES)
LOST = WON + 1
DESTINATIONS = (*STAGES, "won", "lost")  # where a deal may be at the end of a week
LEAD_STAY, LEAD_QUALIFIED, LEAD_DISQUALIFIED = range(3)
LEAD_OUTCOMES = ("stay", "qualified", "disqualified")
BAND_STARTS = (0, 1, 2, 4, 8, 13)  # first whole week of each band; the last is open
BANDS = len(BAND_STARTS)
LAST_BAND_WEEK = BAND_STARTS[-1]
# the band of each number of whole weeks, up to the week from which nothing changes
BAND_OF_WEEK = np.searchsorted(BAND_STARTS, np.arange(LAST_BAND_WEEK + 1), side="right") - 1
PARTS = ("existing", "new")  # deals open at the start, and deals that began after it
WEEK_MICROSECONDS = 7 * 86_400 * 1_000_000


def bands(weeks: np.ndarray) -> np.ndarray:
    """Return the band of each number of whole weeks."""
    return np.asarray(BAND_OF_WEEK[np.minimum(weeks, LAST_BAND_WEEK)])
