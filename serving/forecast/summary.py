"""What a forecast says: distributions per week, and the paired difference that a lever makes.

Quantiles are values that occurred (inverted distribution function), so counts and cents stay whole
numbers. A difference is taken draw by draw, on the same luck, before it is summarised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from serving.forecast.stages import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.forecast.funnel import Outcome

QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
QUANTILE_NAMES = ("p05", "p25", "p50", "p75", "p95")
MEASURES = ("won", "value_cents")
SPANS = ("weekly", "cumulative")
DIFFERENCE = "difference"


@dataclass(frozen=True, kw_only=True)
class Payoff:
    """Does a lever pay? Over the whole horizon, against the baseline on the same luck."""

    won: tuple[float, int, int]  # extra deals: mean, p05, p95
    value_cents: tuple[float, int, int]  # extra value of won deals: mean, p05, p95
    contacts: float  # mean number
    cost_cents: float  # mean
    pays: float  # share of draws whose extra value exceeds the cost of the contacts


def table(outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Return one row per scenario, part, measure, span and week (1, 2, ...).

    Columns: scenario, part (existing, new, all), measure (won, value_cents), span (weekly,
    cumulative), week, mean (float64), p05 to p95 (int64). With two outcomes a third scenario
    `difference` is the second minus the first.
    """
    frames = [
        _rows(scenario, part, measure, values)
        for scenario, measures in _with_difference(outcomes).items()
        for measure, by_part in measures.items()
        for part, values in by_part.items()
    ]
    return pd.concat(frames, ignore_index=True)


def headline(rows: pd.DataFrame, every: int = 2) -> pd.DataFrame:
    """Return the cumulative forecast of all deals for a reader, every so many weeks and the last.

    Columns: week, then won per scenario and the value of the last (the difference, if there is
    one), each as a text: the median and the 90 % interval, values in thousands of the currency.
    """
    chosen = rows[(rows["part"] == "all") & (rows["span"] == "cumulative")]
    last = int(rows["week"].max())
    chosen = chosen[(chosen["week"] % every == 0) | (chosen["week"] == last)]
    last_scenario = rows["scenario"].iloc[-1]
    columns = {
        f"{scenario} {measure.removesuffix('_cents')}": _texts(group.set_index("week"), measure)
        for (measure, scenario), group in chosen.groupby(["measure", "scenario"], sort=False)
        if measure == "won" or scenario == last_scenario
    }
    return pd.DataFrame(columns).reset_index()


def payoff(baseline: Outcome, lever: Outcome, cost_per_contact_cents: np.ndarray) -> Payoff:
    """Compare two arms over the whole horizon; the cost of a contact is int64 cents per lever."""
    won, value = (_total(lever, m) - _total(baseline, m) for m in ("won", "cents"))
    contacts = lever.contacts.sum(axis=1)
    cost = contacts @ np.asarray(cost_per_contact_cents, np.int64)
    return Payoff(
        won=_range(won),
        value_cents=_range(value),
        contacts=float(contacts.sum(axis=1).mean()),
        cost_cents=float(cost.mean()),
        pays=float((value > cost).mean()),
    )


def _texts(rows: pd.DataFrame, measure: str) -> pd.Series:
    unit, mark = (100_000, "k") if measure == "value_cents" else (1, "")
    low, mid, high = (
        rows[name].floordiv(unit).map("{:,}".format) for name in ("p05", "p50", "p95")
    )
    return mid + mark + " (" + low + "–" + high + ")"


def _total(outcome: Outcome, field: str) -> np.ndarray:
    return np.asarray(getattr(outcome, field).sum(axis=(1, 2)))


def _range(values: np.ndarray) -> tuple[float, int, int]:
    low, high = np.quantile(values, (0.05, 0.95), method="inverted_cdf")
    return float(values.mean()), int(low), int(high)


def _with_difference(
    outcomes: Mapping[str, Outcome],
) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    by_scenario = {scenario: _measures(outcome) for scenario, outcome in outcomes.items()}
    if len(by_scenario) == 2:
        before, after = by_scenario.values()
        by_scenario[DIFFERENCE] = {
            measure: {part: after[measure][part] - values for part, values in parts.items()}
            for measure, parts in before.items()
        }
    return by_scenario


def _measures(outcome: Outcome) -> dict[str, dict[str, np.ndarray]]:
    """Return int64 [draws, weeks] by measure and part."""
    return {
        measure: {**{p: array[..., i] for i, p in enumerate(PARTS)}, "all": array.sum(axis=-1)}
        for measure, array in zip(MEASURES, (outcome.won, outcome.cents), strict=True)
    }


def _rows(scenario: str, part: str, measure: str, weekly: np.ndarray) -> pd.DataFrame:
    frames = []
    for span, values in zip(SPANS, (weekly, weekly.cumsum(axis=1)), strict=True):
        points = np.quantile(values, QUANTILES, axis=0, method="inverted_cdf").astype(np.int64)
        columns = dict(zip(QUANTILE_NAMES, points, strict=True))
        week = np.arange(1, values.shape[1] + 1)
        kind = {"scenario": scenario, "part": part, "measure": measure, "span": span}
        frames.append(pd.DataFrame({**kind, "week": week, "mean": values.mean(axis=0), **columns}))
    return pd.concat(frames)
