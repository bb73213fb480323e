"""The space of a search, and where it begins.

The portfolio are parameters that did well on the histories of other companies: chosen greedily so
that on each of six at least one of them comes near the best of 131, at little cost
(docs/decisions/0010-search.md). A search tries them before it samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

if TYPE_CHECKING:
    from jobs.train.pool import Params

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(0.02, 0.3, log=True),
    "max_depth": IntDistribution(2, 8),
    "min_child_weight": FloatDistribution(1.0, 64.0, log=True),
    "subsample": FloatDistribution(0.5, 1.0),
    "colsample_bytree": FloatDistribution(0.4, 1.0),
    "reg_lambda": FloatDistribution(0.1, 30.0, log=True),
    "gamma": FloatDistribution(0.001, 3.0, log=True),
}
FIRST: Params = {  # for rows too few to search
    "learning_rate": 0.06,
    "max_depth": 4,
    "min_child_weight": 8.0,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "reg_lambda": 1.0,
    "gamma": 0.001,
}
PORTFOLIO: tuple[Params, ...] = tuple(
    dict(zip(SPACE, values, strict=True))
    for values in (
        (0.27, 2, 6.7, 0.98, 0.42, 0.15, 0.0012),
        (0.21, 3, 12.0, 0.89, 0.51, 0.61, 0.02),
        (0.26, 7, 36.0, 0.53, 0.63, 1.2, 0.05),
        (0.22, 2, 31.0, 0.74, 0.54, 9.7, 1.6),
        (0.044, 3, 11.0, 0.55, 0.63, 0.15, 0.045),
        (0.28, 2, 9.1, 0.92, 0.69, 1.5, 0.0079),
        (0.12, 2, 3.8, 0.86, 0.68, 1.8, 0.56),
        (0.28, 2, 25.0, 0.65, 0.56, 14.0, 1.2),
        (0.28, 8, 36.0, 0.99, 0.97, 0.23, 2.4),
        (0.24, 3, 2.3, 0.65, 0.76, 0.76, 0.36),
        (0.21, 4, 50.0, 0.63, 0.41, 1.6, 0.0043),
        (0.16, 2, 7.3, 0.77, 0.58, 1.4, 0.0014),
    )
)
