"""Simulations: submitted, waited for, and told in DataFrames. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from serving.client import calls, errors
from serving.client.flow import Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from serving.client.flow import Flow
    from serving.wire.simulations import (
        BandOut,
        PayoffOut,
        SimulationOut,
        SimulationResultOut,
    )

type Progress = Callable[[int, int], None]  # parts that are done, parts of all

EVERY_S = 0.5
QUANTILES = ("p05", "p25", "p50", "p75", "p95")
RANGES = ("won", "value_cents", "cost_cents", "gain_cents")
FIGURES = ("contacts", "unsubscribed", "pays", "steps_to_value")
UNDER_WAY = {"queued", "running"}


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What came out of a simulation."""

    result: SimulationResultOut

    @property
    def bands(self) -> pd.DataFrame:
        """One row per scenario, measure and step, cumulative: mean and quantiles."""
        rows = [row for each in self._bands() for row in _rows(*each)]
        return pd.DataFrame(rows, columns=["scenario", "measure", "step", "mean", *QUANTILES])

    @property
    def payoffs(self) -> pd.DataFrame:
        """One row per scenario, against what it is compared with: means, and the middle 90 %."""
        found = {arm.name: _payoff(arm.payoff) for arm in self.result.arms if arm.payoff}
        return pd.DataFrame.from_dict(found, orient="index").rename_axis("scenario")

    def _bands(self) -> Iterator[tuple[str, str, BandOut]]:
        for arm in self.result.arms:
            yield arm.name, "won", arm.won
            yield arm.name, "value_cents", arm.value_cents
            if arm.payoff is not None:
                yield arm.name, "gain_cents", arm.payoff.by_step


def flow(
    members: Mapping[str, Any], progress: Progress | None, every_s: float = EVERY_S
) -> Flow[Simulated]:
    """Submit what is asked, or join it; wait until it is done. Unfinished when it will not be."""
    told: SimulationOut = yield calls.simulate(members)
    while told.status in UNDER_WAY:
        if progress is not None and told.progress is not None:
            progress(told.progress.done, told.progress.total)
        yield Wait(seconds=every_s)
        told = yield calls.simulation(told.id)
    if told.status != "done":
        raise errors.Unfinished(f"simulation {told.id}: {told.status}: {told.why or 'stopped'}")
    return Simulated(result=(yield calls.simulation_result(told.id)))


def _rows(scenario: str, measure: str, band: BandOut) -> Iterator[tuple[Any, ...]]:
    columns = [band.mean, *(getattr(band, name) for name in QUANTILES)]
    for step, values in enumerate(zip(*columns, strict=True), start=1):
        yield scenario, measure, step, *values


def _payoff(found: PayoffOut) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in RANGES:
        spread = getattr(found, name)
        told |= {name: spread.mean, f"{name}_low": spread.low, f"{name}_high": spread.high}
    return told | {name: getattr(found, name) for name in FIGURES}
