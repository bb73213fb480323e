"""Whether chances are what they say: bets that all of them are too high, too low, too sure or too
shy, against those chances.

While outcomes come with the chances that were told, the chance of the outcome under another claim,
over that under the one told, is worth one on average (Arnold, Henzi and Ziegel, "Sequentially valid
tests for forecast calibration", 2023). Pure.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from serving.releases.pairs import LEAST

if TYPE_CHECKING:
    from serving.releases.pairs import Flags
    from serving.releases.wealth import Floats

SHIFTS = (-0.8, -0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4, 0.8)  # of the log-odds
SLOPES = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)  # of the log-odds
CLAIMS = np.array([each for each in product(SHIFTS, SLOPES) if each != (0.0, 1.0)])


def gains(chances: Floats, outcomes: Flags) -> Floats:
    """Return what bets on other chances gain, as logarithms: a row per lead, a column per claim."""
    told = np.clip(chances, LEAST, 1 - LEAST)
    logit = np.log(told / (1 - told))[:, None]
    claimed = CLAIMS[:, 0] + CLAIMS[:, 1] * logit
    sign = np.where(outcomes, -1.0, 1.0)[:, None]
    return np.asarray(np.logaddexp(0.0, sign * logit) - np.logaddexp(0.0, sign * claimed))
