"""The bands of a result as a table, for a spreadsheet or a DataFrame. Pure."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.wire.simulations import BandOut, SimulationResultOut

QUANTILES = ("p05", "p25", "p50", "p75", "p95")
SCHEMA = pa.schema(
    [
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("measure", pa.string(), nullable=False),  # won, value_cents, gain_cents
        pa.field("step", pa.int64(), nullable=False),  # 1 the first; the bands are cumulative
        pa.field("mean", pa.float64(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in QUANTILES),
    ]
)


def table(result: SimulationResultOut) -> pa.Table:
    """Return one row per scenario, measure and step; `gain_cents` is against the other."""
    return pa.concat_tables([pa.table(each, SCHEMA) for each in _columns(result)])


def csv(result: SimulationResultOut) -> bytes:
    """Return the table as CSV with a header."""
    sink = io.BytesIO()
    pyarrow.csv.write_csv(table(result), sink)
    return sink.getvalue()


def parquet(result: SimulationResultOut) -> bytes:
    """Return the table as a Parquet file."""
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table(result), sink)
    return sink.getvalue()


def _columns(result: SimulationResultOut) -> Iterator[dict[str, object]]:
    for arm in result.arms:
        bands = {"won": arm.won, "value_cents": arm.value_cents}
        if arm.payoff is not None:
            bands["gain_cents"] = arm.payoff.by_step
        yield from (_band(arm.name, measure, band) for measure, band in bands.items())


def _band(scenario: str, measure: str, band: BandOut) -> dict[str, object]:
    steps = len(band.mean)
    return {
        "scenario": [scenario] * steps,
        "measure": [measure] * steps,
        "step": range(1, steps + 1),
        "mean": band.mean,
        **{name: getattr(band, name) for name in QUANTILES},
    }
