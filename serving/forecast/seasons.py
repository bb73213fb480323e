"""What a step's arrivals may depend on, as columns of numbers: season, day or week, and inputs.

The year is two pairs of sines and cosines, once there is a year and a half to learn them from.
Weekly steps have their place in the quarter, daily ones their day of the week.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from features import log
from serving.forecast.funnels import DAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.forecast.funnels import Input
    from serving.forecast.units import Course

YEAR_DAYS = 365.25
LEAST_DAYS = 550  # of history, before a season of the year is learnt
HARMONICS = 2
LAST_DAYS = 14  # of a quarter, in which it is different
AVERAGE_STEPS = 8  # of an input, that the next steps are taken to be like
_THURSDAY = 3  # 1970-01-01


def calendar(middles: np.ndarray, step_days: int, past_days: float) -> np.ndarray:
    """Return the columns of steps with these middles (microseconds): float64 [steps, columns]."""
    columns = [_weekdays(middles) if step_days == 1 else _quarters(middles)]
    if past_days >= LEAST_DAYS:
        angle = 2.0 * np.pi * middles / (YEAR_DAYS * DAY)
        each = [f(k * angle) for k in range(1, HARMONICS + 1) for f in (np.sin, np.cos)]
        columns.append(np.stack(each, axis=1))
    return np.concatenate(columns, axis=1)


def growth(steps: int) -> np.ndarray:
    """Return the column of steady growth, float64 [steps, 1]: without it the level is an average
    of months that are gone. As steps to come are taken as no further out than those so far (see
    rates), growth is learnt up to T and not drawn on.
    """
    return np.arange(steps, dtype=float)[:, None]


def swinging(middles: np.ndarray, step_days: int, past_days: float) -> np.ndarray:
    """Return the columns that moves may depend on, [steps, effects]: the end of the quarter, where
    a step is a week, and the year.
    """
    columns = calendar(middles, step_days, past_days)
    return columns[:, 7:] if step_days == 1 else columns[:, 2:]


def measured(course: Course, what: Input, bounds: np.ndarray) -> np.ndarray:
    """Return an input in every step between the bounds, float64 [steps]: what was known of it when
    the first step began that may use it, so that a report that comes late is late in the past too.
    """
    places = course.told([what.events])
    rows = course.events.take(pa.array(places))
    time, known = (log.microseconds(rows[name]) for name in ("event_time", "known_at"))
    numbers = np.nan_to_num(rows["number"].to_numpy(zero_copy_only=False).astype(np.float64))
    worth = numbers if what.measure == "sum" else np.ones(len(time))
    last = len(bounds) - 1
    step = np.searchsorted(bounds, time, side="right") - 1
    used = bounds[np.clip(step + max(what.lag_steps, 1), 0, last)]
    counts = (step >= 0) & (step < last) & (known <= used) & (used < course.replaced[places])
    return np.bincount(step[counts], worth[counts], minlength=last).astype(float)


def inputs(
    course: Course, bounds: np.ndarray, steps: int, future: Mapping[str, np.ndarray] | None = None
) -> np.ndarray:
    """Return the inputs of the funnel, lagged, as logs, for the steps so far and those to come:
    float64 [steps so far + steps, inputs].

    What is to come is given by name, float64 [steps], or the average of the last AVERAGE_STEPS.
    """
    columns = [
        _lagged(
            measured(course, each, bounds), each.lag_steps, steps, (future or {}).get(each.name)
        )
        for each in course.funnel.inputs
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((len(bounds) - 1 + steps, 0))


def _lagged(past: np.ndarray, lag: int, steps: int, future: np.ndarray | None) -> np.ndarray:
    if future is None:
        average = past[-AVERAGE_STEPS:].mean() if len(past) else 0.0
        future = np.full(steps, average)
    before = np.full(lag, past[:AVERAGE_STEPS].mean() if len(past) else 0.0)
    whole = np.concatenate([before, past, np.asarray(future, float)])
    return np.asarray(np.log1p(np.maximum(whole, 0.0))[: len(past) + steps])


def weekday(moments: np.ndarray) -> np.ndarray:
    """Return the day of the week of moments (microseconds, UTC): int64, 0 for a Monday."""
    return np.asarray((moments // DAY + _THURSDAY) % 7)


def _weekdays(middles: np.ndarray) -> np.ndarray:
    return np.asarray(np.eye(7)[weekday(middles)])


def _quarters(middles: np.ndarray) -> np.ndarray:
    """Return a wave over the quarter, and whether it is about to end."""
    moment = middles.astype("datetime64[us]")
    month = moment.astype("datetime64[M]").astype(np.int64)
    first = (month // 3 * 3).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    after = (month // 3 * 3 + 3).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    angle = 2.0 * np.pi * (middles - first) / (after - first)
    ends = (after - middles) < LAST_DAYS * DAY
    return np.stack([np.sin(angle), np.cos(angle), ends.astype(float)], axis=1)
