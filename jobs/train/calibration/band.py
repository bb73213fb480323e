"""The band: a 95 % interval of the chance of a row, by its delivered probability. Pure.

Three things are not known of a log-odds, and their variances add up:
- the blend's coefficients: the posterior says how well;
- the trees: `redrawn` says by how much a margin moves when outcomes are drawn anew from what was
  delivered and everything is fitted again (parametric bootstrap, Efron & Tibshirani 1993, ch. 6);
- what the trees have not learnt yet. No label can tell, for each row has but one: it is taken to be
  UNLEARNT at first, then in proportion to what was learnt, and less with every row, as was found in
  companies whose truth is known (docs/decisions/0008-uncertainty.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jobs.train.calibration.logistic import chances
from serving.calibrator import Knot

if TYPE_CHECKING:
    from jobs.train.calibration.blend import Blend, Evidence

Z95 = 1.959963984540054  # normal quantile of 97.5 %
UNLEARNT = 0.4  # variance of log-odds that is left to learn before there is a label
UNLEARNT_HALF = 200.0  # rows after which half of that is still taken for granted
LEARNT_HALF = 1000.0  # rows after which half as much is left to learn as was learnt
SHARES = np.array([0, 0.01, 0.05, *np.arange(0.1, 0.95, 0.1), 0.95, 0.99, 1])  # a knot at each
NEAR = 0.05  # share of the rows on either side of a knot


def redrawn(again: np.ndarray, margin: np.ndarray) -> float:
    """Return the root mean square by which margins `again` (n,), of models fitted to redrawn
    outcomes that never saw their rows, are off the margins (n,) the outcomes were drawn from.
    """
    gap = again.astype(np.float64) - margin
    return float(np.sqrt(np.mean(np.square(gap)))) if len(gap) else 0.0


def band(blend: Blend, rows: Evidence, logit: np.ndarray, moved: float) -> tuple[Knot, ...]:
    """Return the band over `rows` such as will be scored, of delivered log-odds `logit` (n,).

    `moved` is what `redrawn` found.
    """
    if not len(logit):
        return ()
    variance = blend.known.variance(blend.design(rows.margin, rows.points))
    order = np.argsort(logit, kind="stable")
    at = np.unique((SHARES * (len(logit) - 1)).round().astype(int))
    sd = np.sqrt(
        _near(variance[order], at) + (blend.slope * moved) ** 2 + _unlearnt(logit, blend.rows)
    )
    return _knots(logit[order][at], sd)


def _unlearnt(logit: np.ndarray, rows: float) -> float:
    granted = UNLEARNT / (1 + rows / UNLEARNT_HALF)
    return float((granted + logit.var()) / (1 + rows / LEARNT_HALF))


def _near(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the mean of the values around each place."""
    sums = np.append(0, np.cumsum(values))
    reach = int(NEAR * len(values))
    low, high = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _knots(logit: np.ndarray, sd: np.ndarray) -> tuple[Knot, ...]:
    """Return rising knots from probability 0 to 1; level beyond what was seen, but for its end."""
    distinct = np.append(np.diff(logit) > 0, True)
    middle, sd = logit[distinct], sd[distinct]
    low = np.maximum.accumulate(chances(middle - Z95 * sd)).tolist()
    high = np.maximum.accumulate(chances(middle + Z95 * sd)).tolist()
    seen = zip(chances(middle).tolist(), low, high, strict=True)
    return (
        Knot(probability=0.0, low=0.0, high=high[0]),
        *(Knot(probability=p, low=a, high=b) for p, a, b in seen),
        Knot(probability=1.0, low=low[-1], high=1.0),
    )
