"""The forecasts that ours has to beat, each as draws, so that the same measures judge all.

A rule says a number as of any moment back from the origin, from what was known by then; how far it
was off at the moments whose truth is known by the origin is its spread: Student's t about the
number, with as many degrees of freedom as there are such moments, scaled by the root of the mean
square of what it was off. Draws are whole numbers from 0, as outcomes are. Each horizon is what is
won in all steps up to it. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import Refusal
from jobs.backtest.known import COMMIT_COLUMNS, tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jobs.backtest.known import Known

    type Rule = Callable[[int], float | None]  # moment, in steps back: number, None where silent
    type Drawn = np.ndarray | Refusal

DRAWS = 1000
LEAST_ERRORS = 4  # moments without which a rule's spread is not known
MOST_ERRORS = 104  # the latest moments count
LEAST_STEPS = 8  # of history, for a mean


def forecast(
    rng: np.random.Generator, known: Known, name: str, horizons: Sequence[int]
) -> tuple[np.ndarray, dict[int, Refusal]]:
    """Return the draws, float64 [DRAWS, horizons], of one of NAMES; NaN where it cannot say
    anything, and why by horizon.
    """
    made = {horizon: NAMES[name](rng, known, horizon) for horizon in horizons}
    absent = {horizon: found for horizon, found in made.items() if isinstance(found, Refusal)}
    silent = np.full(DRAWS, np.nan)
    drawn = [silent if isinstance(found, Refusal) else found for found in made.values()]
    return np.stack(drawn, axis=1), absent


def stage_weighted(known: Known, horizon: int) -> Rule:
    """Return the rule: the amount open in each stage times the share of that stage won within the
    horizon before, and the mean of what was won of units that were not open yet.
    """
    seen = tally(known, horizon)
    place = {int(back): i for i, back in enumerate(seen.back)}
    opened, won = np.cumsum(seen.open, axis=0), np.cumsum(seen.won, axis=0)
    whole = np.array([known.total(int(b), horizon) for b in seen.back])
    new = np.cumsum(np.maximum(0.0, whole - seen.won_amount))

    def rule(back: int) -> float | None:
        over = int(np.searchsorted(-seen.back, -(back + horizon), side="right"))
        if back not in place or not over:
            return None
        share = _shares(won[over - 1], opened[over - 1])
        return float(seen.amount[place[back]] @ share + new[over - 1] / over)

    return rule


def same_point(known: Known, horizon: int) -> Rule:
    """Return the rule: what the period has so far, by the share that past periods had at this
    point, is the whole period; past its end, the mean of past periods.
    """

    def rule(back: int) -> float | None:
        until, into = known.steps - back, (known.into - back) % known.period
        begun = until - into
        periods = begun // known.period
        past = known.won[max(0, begun - periods * known.period) : max(0, begun)]
        if periods < 1 or not past.sum():
            return None
        usual = np.append(0.0, np.cumsum(past.reshape(periods, -1).sum(axis=0)) / past.sum())
        mean, so_far = past.sum() / periods, known.won[begun:until].sum()
        this = so_far / usual[into] if usual[into] else mean
        inside = min(horizon, known.period - into)
        later, rest = divmod(horizon - inside, known.period)
        here = this * (usual[into + inside] - usual[into])
        return float(here + mean * (later + usual[rest]))

    return rule


def seasonal(known: Known, horizon: int, lag: int) -> Rule:
    """Return the rule: what was won `lag` steps before, again and again."""

    def rule(back: int) -> float | None:
        until = known.steps - back
        if until < lag:
            return None
        return float(known.won[until - lag + np.arange(horizon) % lag].sum())

    return rule


def committed(known: Known, horizon: int) -> Rule:
    """Return the rule: the amounts of the open units times the chance that the rep gives them,
    where the rep expects the close within the horizon.
    """
    said = known.units.dropna(subset=list(COMMIT_COLUMNS))
    is_near = (said["closes_in"] <= horizon).to_numpy(float)
    amounts = (said["amount"] * said["chance"] * is_near).groupby(said["back"]).sum()
    by_moment = {int(back): float(amount) for back, amount in amounts.items()}
    return by_moment.get


def _shares(won: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """Return the share won of each stage; of a stage never seen, that of all."""
    of_all = won.sum() / opened.sum() if opened.sum() else 0.0
    return np.asarray(np.where(opened > 0, won / np.maximum(opened, 1.0), of_all))


def _stage_weighted(rng: np.random.Generator, known: Known, horizon: int) -> Drawn:
    return _about(rng, known, horizon, _errors(known, stage_weighted(known, horizon), horizon))


def _same_point(rng: np.random.Generator, known: Known, horizon: int) -> Drawn:
    near = known.period // 12  # how far off is known at about the same point only
    backs = [
        back
        for back in range(horizon, known.steps + 1)
        if min(back % known.period, -back % known.period) <= near
    ]
    rule = same_point(known, horizon)
    return _about(rng, known, horizon, _errors(known, rule, horizon, backs))


def _seasonal_naive(rng: np.random.Generator, known: Known, horizon: int) -> Drawn:
    """Draw about the same steps of the last year, else of the last period, else the last equal
    stretch: the first whose spread is known.
    """
    found: Drawn
    for lag in (known.year, known.period, horizon):
        found = _about(rng, known, horizon, _errors(known, seasonal(known, horizon, lag), horizon))
        if not isinstance(found, Refusal):
            break
    return found


def _historic_mean(rng: np.random.Generator, known: Known, horizon: int) -> Drawn:
    """Draw counts from the negative binomial, and money from the gamma, that have the mean and
    variance of stretches of the past.
    """
    if known.steps < max(LEAST_STEPS, horizon):
        return Refusal(
            rule=f"a mean needs {max(LEAST_STEPS, horizon)} steps of history",
            value=f"{known.steps}",
            remedy="start the backtest later",
        )
    mean, variance = float(known.won.mean()) * horizon, _variance(known.won, horizon)
    if mean == 0.0:
        return np.zeros(DRAWS)
    if not known.is_count:
        return np.rint(rng.gamma(mean**2 / max(variance, 1.0), max(variance, 1.0) / mean, DRAWS))
    if variance <= mean:
        return rng.poisson(mean, DRAWS).astype(float)
    size = mean**2 / (variance - mean)
    return rng.negative_binomial(size, size / (size + mean), DRAWS).astype(float)


def _rep_commit(rng: np.random.Generator, known: Known, horizon: int) -> Drawn:
    is_given = all(name in known.units for name in COMMIT_COLUMNS)
    if not is_given or known.units[list(COMMIT_COLUMNS)].dropna().empty:
        return Refusal(
            rule="the commit of reps is read from the chances and close dates they give",
            value="a log without them",
            remedy="map probability_changed and close dates in the source, if it has them",
        )
    return _about(rng, known, horizon, _errors(known, committed(known, horizon), horizon))


def _variance(won: np.ndarray, horizon: int) -> float:
    """Return the variance of what is won in so many steps about its forecast, the mean: that of
    past stretches where there are several, else that of independent steps.
    """
    steps = len(won)
    each = horizon * float(won.var(ddof=1))
    sums = np.convolve(won, np.ones(horizon), "valid")
    stretches = float(sums.var()) if steps >= 4 * horizon else 0.0
    return max(each, stretches) * (1.0 + horizon / steps)


def _errors(
    known: Known, rule: Rule, horizon: int, backs: Sequence[int] | None = None
) -> tuple[float | None, np.ndarray]:
    """Return what a rule says now, and how far it was off before."""
    moments = range(horizon, known.steps + 1) if backs is None else backs
    off = list(_off(known, rule, horizon, moments))
    return rule(0), np.array(off)


def _off(known: Known, rule: Rule, horizon: int, moments: Sequence[int]) -> Iterator[float]:
    found = 0
    for back in moments:
        said = rule(back)
        if said is not None and found < MOST_ERRORS:
            found += 1
            yield known.total(back, horizon) - said


def _about(
    rng: np.random.Generator,
    known: Known,
    horizon: int,
    found: tuple[float | None, np.ndarray],
) -> Drawn:
    point, off = found
    if point is None or len(off) < LEAST_ERRORS:
        return Refusal(
            rule=f"a spread needs {LEAST_ERRORS} past moments with {horizon} steps after them",
            value=f"{len(off)} in {known.steps} steps of history",
            remedy="start the backtest later",
        )
    spread = float(np.sqrt((off**2).mean()))
    return np.rint(np.maximum(0.0, point + spread * rng.standard_t(len(off), DRAWS)))


NAMES: dict[str, Callable[[np.random.Generator, Known, int], Drawn]] = {
    "stage_weighted": _stage_weighted,
    "same_point": _same_point,
    "seasonal_naive": _seasonal_naive,
    "historic_mean": _historic_mean,
    "rep_commit": _rep_commit,
}
