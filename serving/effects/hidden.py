"""How strong a hidden cause must be to explain an effect away: E-values, and bounds under the
marginal sensitivity model (Tan 2006, JASA 101, 1619-1637).

In that model the odds of an arm, given the features and the hidden cause, are within a factor
L >= 1 of those given the features alone. What a row of another arm would have had in arm a is then
at most E[H | X, A = a], with H = q + L (Y - q)+ - (q - Y)+ / L, for any q(X), and the bound is
sharp where q is the quantile L / (1 + L) of Y (Dorn and Guo 2022, JASA 118, 2645-2657). Of an
outcome that happens or not it is L Y or 1 - (1 - Y) / L, linear in Y, so that the models of the
effect itself serve, and the mean of the score
    1[A = a] Y + 1[A != a] rho(X) + 1[A = a] (1 - e) / e (H - rho(X)),  rho(X) = E[H | X, A = a],
is a bound (Dorn, Guo and Kallus 2024, JASA 120, 331-342): valid if the chance is right, sharp if
the model is right too. With L = 1 it is the score of the effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.effects import evidence, scores
from serving.effects.known import Bound, Sensitivity

if TYPE_CHECKING:
    from serving.effects.known import Figure
    from serving.effects.measured import Measured
    from serving.effects.panel import Panel

TOLD = (1.5, 2.0, 3.0)  # odds for which bounds are told
MOST_ODDS = 20.0
HALVINGS = 20


def sensitivity(panel: Panel, told: list[Figure]) -> list[Sensitivity]:
    """Return how strong a hidden cause must be to explain away what is told of all rows."""
    last = max((c.horizon for c in panel.columns if c.kind == "happens"), default=0.0)
    return [
        _of_figure(panel, each)
        for each in told
        if each.measure == "happens"
        and each.column == "all"
        and each.horizon_days == last
        and each.log_ratio is not None
    ]


def _of_figure(panel: Panel, figure: Figure) -> Sensitivity:
    assert figure.log_ratio is not None and figure.log_sd is not None
    middle, reach = figure.log_ratio, scores.Z90 * figure.log_sd
    low, high = np.exp([middle - reach, middle + reach]).tolist()
    number = panel.place(figure.outcome, "happens", figure.horizon_days)
    arm = panel.basis.rows.arms.index(figure.arm)
    return Sensitivity(
        arm=figure.arm,
        outcome=figure.outcome,
        horizon_days=figure.horizon_days,
        risk_ratio=float(np.exp(middle)),
        e_value=evidence.e_value(float(np.exp(middle))),
        e_value_of_limit=evidence.e_value_of_limit(low, high),
        odds_of_limit=odds_of_limit(panel, number, arm),
        bounds=tuple(bound(panel, number, arm, odds) for odds in TOLD),
    )


def odds_of_limit(panel: Panel, number: int, arm: int) -> float:
    """Return the least odds at which the interval of the bounds holds 0, at most MOST_ODDS; 1 where
    that of the effect holds it. By bisection: bounds only widen with the odds.
    """
    if not _is_clear(bound(panel, number, arm, 1.0)):
        return 1.0
    low, high = 0.0, float(np.log(MOST_ODDS))
    if _is_clear(bound(panel, number, arm, MOST_ODDS)):
        return MOST_ODDS
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        clear = _is_clear(bound(panel, number, arm, float(np.exp(middle))))
        low, high = (middle, high) if clear else (low, middle)
    return float(np.exp(high))


def _is_clear(of: Bound) -> bool:
    return of.limit_low > 0.0 or of.limit_high < 0.0


def bound(panel: Panel, number: int, arm: int, odds: float) -> Bound:
    """Return between what the effect of an arm on an outcome lies, if a hidden cause changes the
    odds of an arm by no more than so many times.
    """
    rows, of = panel.basis.rows, panel.columns[number].of
    ends = []
    for sign in (-1, 1):  # the least effect: least of the arm, most of the control
        up = bounded(of, rows.arm == arm, panel.basis.chance[:, arm],
                     panel.expected[:, arm, number], sign * np.log(odds))  # fmt: skip
        down = bounded(of, rows.arm == 0, panel.basis.chance[:, 0],
                       panel.expected[:, 0, number], -sign * np.log(odds))  # fmt: skip
        ends.append(scores.average(up - down, rows.cluster))
    low, high = ends
    return Bound(
        odds=odds,
        low=low.value,
        high=high.value,
        limit_low=low.interval[0],
        limit_high=high.interval[1],
    )


def bounded(
    of: Measured, mine: np.ndarray, chance: np.ndarray, expected: np.ndarray, tilt: float
) -> np.ndarray:
    """Return the score (n,) whose mean bounds the mean outcome in an arm: from above for a log
    odds `tilt` above 0, from below for one below it. `mine` are the rows of the arm, with its
    chances, and what is expected of every row in it, a chance too.
    """
    guess = np.clip(expected, 0.0, 1.0)
    factor = float(np.exp(tilt))
    # H of Y = 0 and Y = 1 as a line in Y, whichever is nearer to what is expected
    many = factor * guess, factor * of.value
    few = 1.0 - (1.0 - guess) / factor, 1.0 - (1.0 - of.value) / factor
    first = many[0] <= few[0] if tilt > 0 else many[0] >= few[0]
    rho, seen = (np.where(first, one, other) for one, other in zip(many, few, strict=True))
    drawn = np.where(mine, of.weight / chance, 0.0)
    drawn /= max(float(drawn.mean()), 1e-300)
    own = np.where(mine, guess, rho)
    return np.asarray(own + drawn * (chance * (of.value - guess) + (1.0 - chance) * (seen - rho)))
