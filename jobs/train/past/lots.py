"""What stands in the place of a score that nobody may make: that of another, drawn by lot. Pure.

Who withdrew their consent may not be scored, not even as of before they did. Were they left out,
having no score would tell who was going to withdraw, and a backtest would know the future by it. A
lot tells nothing, and who is told apart by it is told apart from nobody.
"""

from __future__ import annotations

import numpy as np


def drawn(
    seed: int, time: np.ndarray, probability: np.ndarray, is_withheld: np.ndarray
) -> np.ndarray:
    """Return the probabilities [rows], those withheld replaced by ones of others at the same time
    (int64 microseconds); NaN where there are none.
    """
    found = probability.copy()
    for moment in np.unique(time[is_withheld]):
        mine = np.flatnonzero((time == moment) & is_withheld)
        others = probability[(time == moment) & ~is_withheld]
        rng = np.random.default_rng([seed, int(moment)])
        found[mine] = rng.choice(others, len(mine)) if len(others) else np.nan
    return found
