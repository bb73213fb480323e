"""The walk over past origins: forecast at each as of then, then look what became of it.

What a forecaster says is frozen as rows of tested.SCHEMA before the truth is asked for. An origin
whose rows of a forecaster are there under the same run is not forecast again; the run is the key of
everything that the forecasts depend on. Pure, but for the forecasters that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from jobs.backtest import measures
from serving.forecast.recalibration import QUANTILE_NAMES, QUANTILES
from serving.forecast.tested import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta


class Key(NamedTuple):
    """What is measured."""

    series: str
    measure: str


type Draws = Mapping[Key, np.ndarray]  # float64 [draws, horizons]; NaN: nothing is said
type Truth = Callable[[datetime], Mapping[Key, np.ndarray]]  # float64 [horizons]; NaN: not known


class Forecaster(Protocol):
    """Who forecasts as of an origin, from what was known by then and nothing else."""

    @property
    def name(self) -> str:
        """Its name in the rows: OURS, or one of the baselines."""

    def forecast(self, origin: datetime) -> Draws:
        """Return draws of all series that it has something to say about."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is walked over."""

    run: str
    funnel: str
    origins: tuple[datetime, ...]
    horizons: tuple[int, ...]  # steps
    seed: int  # of the lots that break ties

    def __post_init__(self) -> None:
        several = len(set(self.horizons)) < len(self.horizons)
        if not self.horizons or min(self.horizons) < 1 or several:
            raise ValueError(f"horizons are different numbers from 1 on, got {self.horizons}")


def origins(first: datetime, last: datetime, every: timedelta) -> tuple[datetime, ...]:
    """Return the moments from the first on, as far apart as told, up to the last.

    >>> from datetime import datetime, timedelta, UTC
    >>> day = lambda number: datetime(2026, 1, number, tzinfo=UTC)
    >>> [origin.day for origin in origins(day(1), day(9), timedelta(days=3))]
    [1, 4, 7]
    """
    if every.total_seconds() <= 0:
        raise ValueError(f"origins lie apart, got {every}")
    return tuple(first + i * every for i in range(max(0, (last - first) // every + 1)))


def walk(
    plan: Plan, forecasters: Sequence[Forecaster], truth: Truth, done: pa.Table
) -> Iterator[pa.Table]:
    """Yield, for each origin and forecaster of which `done` has no rows, its rows of tested.SCHEMA;
    those whose truth is known.
    """
    seen = _seen(plan, done)
    for origin in plan.origins:
        missing = [each for each in forecasters if (origin, each.name) not in seen]
        frozen = [(each.name, each.forecast(origin)) for each in missing]
        came = truth(origin) if frozen else {}
        for name, said in frozen:
            yield _rows(plan, origin, name, _matched(plan, said, came))


class _Said(NamedTuple):
    key: Key
    draws: np.ndarray  # float64 [draws, horizons]
    truth: np.ndarray  # float64 [horizons]
    horizon: np.ndarray  # int64 [horizons]


def _seen(plan: Plan, done: pa.Table) -> set[tuple[datetime, str]]:
    columns = [done[name].to_pylist() for name in ("run", "funnel", "origin", "forecaster")]
    return {row[2:] for row in zip(*columns, strict=True) if row[:2] == (plan.run, plan.funnel)}


def _matched(plan: Plan, said: Draws, came: Mapping[Key, np.ndarray]) -> Iterator[_Said]:
    """Yield what was said of each series and what became of it, where both are there."""
    horizons = np.array(plan.horizons)
    for key in sorted(said.keys() & came.keys()):
        draws, truth = said[key], came[key]
        if draws.shape[1:] != horizons.shape or truth.shape != horizons.shape:
            raise ValueError(
                f"{key} has {len(horizons)} horizons, got {draws.shape}, {truth.shape}"
            )
        kept = np.isfinite(draws).all(axis=0) & np.isfinite(truth)
        if kept.any():
            yield _Said(key, draws[:, kept].astype(float), truth[kept], horizons[kept])


def _rows(plan: Plan, origin: datetime, name: str, every: Iterator[_Said]) -> pa.Table:
    tables = [_judged(plan, origin, said) for said in every]
    if not tables:
        return SCHEMA.empty_table()
    found = pa.concat_tables(tables)
    constant = {"run": plan.run, "funnel": plan.funnel, "origin": origin, "forecaster": name}
    columns = {
        field.name: pa.array([constant[field.name]] * found.num_rows, field.type)
        if field.name in constant
        else found[field.name]
        for field in SCHEMA
    }
    return pa.table(columns, SCHEMA)


def _judged(plan: Plan, origin: datetime, said: _Said) -> pa.Table:
    rows = len(said.horizon)
    quantiles = np.quantile(said.draws, QUANTILES, axis=0, method="inverted_cdf")
    rng = _lots(plan, origin, said.key)
    return pa.table(
        {
            "series": [said.key.series] * rows,
            "measure": [said.key.measure] * rows,
            "horizon": said.horizon,
            "draws": np.full(rows, len(said.draws)),
            "truth": said.truth,
            "mean": said.draws.mean(axis=0),
            **dict(zip(QUANTILE_NAMES, quantiles, strict=True)),
            "crps": measures.crps(said.draws, said.truth),
            "pit": measures.pit(rng, said.draws, said.truth),
        }
    )


def _lots(plan: Plan, origin: datetime, key: Key) -> np.random.Generator:
    """Return the lots of a series at an origin: the same in whatever order origins are walked."""
    text = f"{plan.seed}|{origin.isoformat()}|{key.series}|{key.measure}"
    return np.random.default_rng(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()))
