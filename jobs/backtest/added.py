"""What scores add to a forecast, in sentences: ours against ours had there been none. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jobs.backtest.comparison import Verdict
from serving.forecast.tested import ALL, UNSCORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.backtest.comparison import Compared
    from jobs.backtest.results import Against

WHAT = {"won": "what is won", "value_cents": "the value won"}
SAID = {
    Verdict.BETTER: "they help",
    Verdict.WORSE: "they harm",
    Verdict.NOT_TOLD_APART: "what they do is not told apart from nothing",
}


def said(against: Sequence[Against], single: Compared | None) -> list[str]:
    """Return what scores add to each measure over all horizons, and to the chances of single deals
    (by their log loss); nothing where there was no forecast without them.
    """
    mine = [each for each in against if (each.forecaster, each.series) == (UNSCORED, ALL)]
    lines = []
    for measure, words in WHAT.items():
        found = [each for each in mine if each.measure == measure]
        if found:
            pooled = min(found, key=lambda each: each.horizon)
            lines.append(f"scores change the CRPS of {words} by {_changed(pooled.found)}")
    if single is not None:
        lines.append(f"scores change the log loss of single deals by {_changed(single)}")
    return lines


def _changed(found: Compared) -> str:
    mid, low, high = found.relative
    if np.isnan(low):
        return f"{mid:+.1%}; {found.origins} origins are too few for an interval"
    return (
        f"{mid:+.1%} (90 % interval {low:+.1%} to {high:+.1%}) over {found.origins} origins:"
        f" {SAID[found.verdict]}"
    )
