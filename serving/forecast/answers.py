"""What a forecast says: quantiles per step of every slice, and how the slices share in a total's.

Quantiles are values that occurred (inverted distribution function), so units and cents stay whole.
All slices come from the same draws, so that in every draw they add up to the total. Their own
quantiles do not: a bad quarter of all teams is not the sum of each team's own bad quarter. `shares`
therefore says how much of each quantile of the total falls to each slice: the mean of the slice
over the draws whose total is near that quantile, scaled so that the sum is the quantile (the Euler
allocation of a quantile; D. Tasche, "Risk contributions and performance measurement", 1999).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from serving.forecast.given import PARTS
from serving.forecast.recalibration import QUANTILE_NAMES, QUANTILES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from serving.forecast.given import Outcome

SHARED = ("p05", "p50", "p95")  # quantiles of a total that are shared out
MEASURES = ("won", "value_cents")
SPANS = ("step", "cumulative")
ALL = "all"
NEAR = 0.05  # share of the draws on both sides together that count as near a quantile


class Slice(NamedTuple):
    """Units of one dimension that are told apart; the dimension `all` has one, of all units."""

    dimension: str
    value: str
    groups: np.ndarray  # bool [groups]


def slices(labels: pd.DataFrame) -> Iterator[Slice]:
    """Give the slice of all, then those of each column of `labels` (one row per group), by name."""
    yield Slice(ALL, ALL, np.ones(len(labels), bool))
    for dimension in labels.columns:
        texts = labels[dimension].astype(str)
        for value in sorted(texts.unique()):
            yield Slice(str(dimension), value, (texts == value).to_numpy())


def table(outcomes: Mapping[str, Outcome], labels: pd.DataFrame) -> pd.DataFrame:
    """Return one row per scenario, dimension, value, part, measure, span and step (1, 2, ...).

    Columns beside these: mean (float64) and p05 to p95 (int64). Parts are told apart for all units
    together; a slice has the part `all` only.
    """
    return pd.concat(
        [
            _rows(values, scenario=name, measure=measure, **kind)
            for name, outcome in outcomes.items()
            for measure in MEASURES
            for kind, values in _series(_of(outcome, measure), labels)
        ],
        ignore_index=True,
    )


def shares(outcome: Outcome, labels: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return how the slices share in the quantiles of the total, cumulative, per step.

    Columns: dimension, value, step, mean, p05, p50, p95 (float64): over the values of a dimension
    they add up to those of the total.
    """
    several = list(slices(labels))
    every = _by_slice(_of(outcome, measure).sum(axis=-1).cumsum(axis=1), several)
    total = every[..., 0]
    order = np.argsort(total, axis=0, kind="stable")
    frames = [
        _shared(every[..., n], total, order).assign(dimension=each.dimension, value=each.value)
        for n, each in enumerate(several)
    ]
    return pd.concat(frames, ignore_index=True)[["dimension", "value", "step", "mean", *SHARED]]


def occupancy(outcome: Outcome, labels: pd.DataFrame, stages: tuple[str, ...]) -> pd.DataFrame:
    """Return how many units are open in each stage at the end of each step.

    Columns: dimension, value, stage, step, mean (float64) and p05 to p95 (int64).
    """
    several = list(slices(labels))
    return pd.concat(
        [
            _quantiles(every[..., n]).assign(
                dimension=each.dimension, value=each.value, stage=stage
            )
            for place, stage in enumerate(stages)
            for every in [_by_slice(outcome.open[..., place].astype(np.int64), several)]
            for n, each in enumerate(several)
        ],
        ignore_index=True,
    )


def difference(before: Outcome, after: Outcome) -> Outcome:
    """Return, draw by draw on the same luck, the second minus the first; winners are marked where
    they differ, contacts and who waits are of all desks and levers together.
    """
    counts = {
        name: getattr(after, name) - getattr(before, name)
        for name in ("won", "cents", "open", "lost_to")
    }
    # they may have other levers and other desks
    contacts = _whole(after.contacts, 2) - _whole(before.contacts, 2)
    waiting = _whole(after.waiting, 1) - _whole(before.waiting, 1)
    winners = before.winners ^ after.winners
    return after._replace(**counts, contacts=contacts, waiting=waiting, winners=winners)


def _whole(counts: np.ndarray, axes: int) -> np.ndarray:
    """Return whole numbers [draws, steps, ...] summed over so many last axes, which stay as 1."""
    return np.asarray(counts.sum(axis=tuple(range(-axes, 0)), keepdims=True))


def _of(outcome: Outcome, measure: str) -> np.ndarray:
    """Return int64 [draws, steps, groups, parts]."""
    return outcome.won if measure == "won" else outcome.cents


def _series(
    values: np.ndarray, labels: pd.DataFrame
) -> Iterator[tuple[dict[str, str], np.ndarray]]:
    """Give what tells a series apart, and its int64 [draws, steps]."""
    several = list(slices(labels))
    every = _by_slice(values.sum(axis=-1), several)
    for place, each in enumerate(several):
        yield {"dimension": each.dimension, "value": each.value, "part": ALL}, every[..., place]
    by_part = values.sum(axis=2)
    for place, part in enumerate(PARTS):
        yield {"dimension": ALL, "value": ALL, "part": part}, by_part[..., place]


def _by_slice(values: np.ndarray, several: list[Slice]) -> np.ndarray:
    """Return the sums of whole numbers [draws, steps, groups] over each slice, as the last axis."""
    return values @ np.stack([each.groups for each in several], axis=1).astype(np.int64)


def _rows(weekly: np.ndarray, **kind: str) -> pd.DataFrame:
    spans = zip(SPANS, (weekly, weekly.cumsum(axis=1)), strict=True)
    return pd.concat([_quantiles(values).assign(**kind, span=span) for span, values in spans])


def _quantiles(values: np.ndarray) -> pd.DataFrame:
    """Return mean and quantiles per step of whole numbers [draws, steps]."""
    points = np.quantile(values, QUANTILES, axis=0, method="inverted_cdf").astype(np.int64)
    step = np.arange(1, values.shape[1] + 1)
    return pd.DataFrame(
        {
            "step": step,
            "mean": values.mean(axis=0),
            **dict(zip(QUANTILE_NAMES, points, strict=True)),
        }
    )


def _shared(part: np.ndarray, total: np.ndarray, order: np.ndarray) -> pd.DataFrame:
    """Return per step the mean of a part, and its share in the quantiles of the total."""
    draws, steps = total.shape
    columns = {"step": np.arange(1, steps + 1), "mean": part.mean(axis=0)}
    for name in SHARED:
        rank = _rank(QUANTILES[QUANTILE_NAMES.index(name)], draws)
        near = order[_around(rank, draws)]
        at = np.take_along_axis(total, order[rank][None], axis=0)[0]
        of_part = np.take_along_axis(part, near, axis=0).mean(axis=0)
        of_total = np.take_along_axis(total, near, axis=0).mean(axis=0)
        # where nothing is won near the quantile there is nothing to share
        scale = np.divide(at, of_total, out=np.ones(steps), where=of_total != 0)
        columns[name] = of_part * scale
    return pd.DataFrame(columns)


def _rank(level: float, draws: int) -> int:
    """Return the place of a quantile among sorted draws, as the inverted distribution has it."""
    return max(0, int(np.ceil(level * draws)) - 1)


def _around(rank: int, draws: int) -> slice:
    reach = int(draws * NEAR / 2)
    return slice(max(0, rank - reach), min(draws, rank + reach + 1))
