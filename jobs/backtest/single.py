"""Single deals: the chance of each deal open at an origin, and whether it was won in time. Pure,
but for what it is told of the course."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from features import log
from jobs.backtest import comparison, deals
from serving.forecast import covered, learning, risk
from serving.forecast.tested import OURS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jobs.backtest.comparison import Compared
    from jobs.backtest.walk import Plan
    from serving.forecast.given import Outcome, Start
    from serving.forecast.units import Course

TABLE = "backtest_deals"
SCHEMA = pa.schema(
    [
        pa.field("run", pa.string(), nullable=False),
        pa.field("funnel", pa.string(), nullable=False),
        pa.field("origin", log.MICROSECONDS, nullable=False),
        pa.field("forecaster", pa.string(), nullable=False),
        pa.field("deal", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),  # at the origin
        pa.field("horizon", pa.int64(), nullable=False),  # steps
        pa.field("chance", pa.float64(), nullable=False),  # to be won within them
        pa.field("is_won", pa.bool_(), nullable=False),
    ]
)
ONCE = ["origin", "forecaster", "deal"]  # an origin that was interrupted is forecast again


def said(course: Course, start: Start, outcome: Outcome) -> pd.DataFrame:
    """Return deal, stage and chance of every open deal that has a key: the share of draws, never 0
    or 1, as half a draw more is counted on either side.
    """
    found = risk.carried(start, outcome)
    code = course.members.opportunity[learning.opened(course)[found["unit"].to_numpy()]]
    found, code = found[code >= 0], code[code >= 0]
    states, draws = np.array(course.funnel.states, object), len(outcome.winners)
    names = course.keys.opportunities.take(pa.array(code)).to_pylist()
    return pd.DataFrame(
        {
            "deal": np.array(names, object),  # also where there are none, in a funnel of leads
            "stage": states[start.stage[found["unit"].to_numpy()]],
            "chance": (found["chance"].to_numpy() * draws + 0.5) / (draws + 1.0),
        }
    )


def table(
    plan: Plan,
    origin: datetime,
    name: str,
    frame: pd.DataFrame,
    came: Callable[[datetime, np.ndarray], np.ndarray],
) -> pa.Table:
    """Return what was said of the deals at an origin beside what came of them: SCHEMA columns."""
    told = frame.assign(
        run=plan.run,
        funnel=plan.funnel,
        origin=origin,
        forecaster=name,
        horizon=max(plan.horizons),
        is_won=came(origin, frame["deal"].to_numpy()),
    )
    return pa.Table.from_pandas(told[SCHEMA.names], SCHEMA, preserve_index=False)


def judged(rows: pd.DataFrame, beside: str) -> pd.DataFrame | None:
    """Return deals.COLUMNS of ours by stage, and as its last row all of the forecaster `beside`;
    where it said something, of the origins at which it did. None without a deal.
    """
    mine, other = (_of(rows, name) for name in (OURS, beside))
    if not len(mine):
        return None
    if not len(other):
        return _judged(mine)
    found = _judged(mine[mine["origin"].isin(other["origin"])])
    last = _judged(other).iloc[[-1]].assign(stage=beside)
    return pd.concat([found, last], ignore_index=True)


def compared(
    rng: np.random.Generator, rows: pd.DataFrame, beside: str, every: int
) -> Compared | None:
    """Compare the log loss of ours with that of another by origin, an origin every so many steps;
    None where the other said nothing.
    """
    mine, other = (_by_origin(_of(rows, name)) for name in (OURS, beside))
    both = pd.concat([mine, other], axis=1, join="inner").sort_index()
    if not len(both):
        return None
    lap = covered.overlap(int(rows["horizon"].max()), every)
    return comparison.compared(rng, both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy(), lap)


def _by_origin(rows: pd.DataFrame) -> pd.Series:
    loss = deals.losses(rows["chance"].to_numpy(float), rows["is_won"].to_numpy(float))
    return pd.Series(loss, rows["origin"]).groupby(level=0).mean()


def curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Return deals.curve of ours."""
    mine = _of(rows, OURS)
    return deals.curve(mine["chance"].to_numpy(float), mine["is_won"].to_numpy(bool))


def _of(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    return rows[rows["forecaster"] == name].drop_duplicates(ONCE)


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    stage, chance = rows["stage"].to_numpy(object), rows["chance"].to_numpy(float)
    return deals.judged(stage, chance, rows["is_won"].to_numpy(bool))
