"""Touches: what people do on our pages and with our mails, driven by their weekly interest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.chance import HOUR, WEEK, moments, sigmoid

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = (
    "email_sent",
    "email_opened",
    "email_clicked",
    "email_replied",
    "web_visit",
    "pricing_visit",
    "content_download",
    "form_submitted",
    "webinar_attended",
    "ad_click",
    "webinar_registered",
    "social_click",
)
SENT, OPENED, CLICKED, REPLIED, WEB, PRICING, DOWNLOAD, FORM = range(8)
ATTENDED, AD, REGISTERED, SOCIAL = range(8, len(NAMES))
MAILS_PER_WEEK = 0.75
LOG_SECONDS = (4.6, 0.9)  # mean and spread of the log of the seconds of a visit
HIGHEST_DRIVE = 3.0  # keeps the busiest visitor human


@dataclass(frozen=True, kw_only=True)
class Habit:
    """Something people do of their own accord."""

    name: int
    rate: float  # per week at interest 0
    slope: float  # of the log rate over interest


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """Something people do with a mail or an invitation."""

    name: int
    cause: int  # the touch that it answers
    odds: float  # log-odds at interest 0
    slope: float  # of the log-odds over interest
    hours: float  # mean wait


@dataclass(frozen=True, kw_only=True)
class Touches:
    """Touches in no order; arrays of one entry per touch."""

    row: np.ndarray  # position of the lead or deal
    name: np.ndarray  # position in NAMES
    time: np.ndarray  # microseconds
    cause: np.ndarray  # microseconds: when the mail was sent that it answers; else its own time
    contact: np.ndarray  # position of the contact who is touched

    def where(self, keep: np.ndarray) -> Touches:
        """Return the touches with a true entry in `keep`."""
        return Touches(**{name: values[keep] for name, values in vars(self).items()})


HABITS = (
    Habit(name=WEB, rate=0.5, slope=0.7),
    Habit(name=PRICING, rate=0.11, slope=0.9),
    Habit(name=DOWNLOAD, rate=0.07, slope=0.65),
    Habit(name=FORM, rate=0.03, slope=0.5),
    Habit(name=REGISTERED, rate=0.05, slope=0.4),
    Habit(name=SOCIAL, rate=0.02, slope=0.3),
    Habit(name=AD, rate=0.08, slope=0.2),
)
REACTIONS = (
    Reaction(name=OPENED, cause=SENT, odds=-0.7, slope=0.5, hours=8.0),
    Reaction(name=CLICKED, cause=OPENED, odds=-1.4, slope=0.6, hours=0.2),
    Reaction(name=REPLIED, cause=OPENED, odds=-3.0, slope=0.8, hours=6.0),
    Reaction(name=ATTENDED, cause=REGISTERED, odds=0.6, slope=0.2, hours=96.0),
)

type Who = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def draw(rng: np.random.Generator, drive: np.ndarray, week: np.ndarray, who: Who) -> Touches:
    """Draw the touches of every row (axis 0) in every week of its life (axis 1).

    `week` is the calendar week in which each row's life begins; `who(rng, row, time)` names the
    contact. Neither birth nor end is looked at: the caller drops what happens outside a life.
    """
    drive = np.minimum(drive, HIGHEST_DRIVE)
    rates = {SENT: np.full(drive.shape, MAILS_PER_WEEK)}
    rates |= {habit.name: habit.rate * np.exp(habit.slope * drive) for habit in HABITS}
    found = {name: _draw(rng, name, rate, week, who) for name, rate in rates.items()}
    for reaction in REACTIONS:
        found[reaction.name] = _react(rng, reaction, found[reaction.cause], drive, week)
    return joined([found[name] for name in sorted(found)])


def counts(touches: Touches, name: int, week: np.ndarray, steps: int) -> np.ndarray:
    """Count the touches of one name per row and week of its life: shape (len(week), steps)."""
    step = touches.time // WEEK - week[touches.row]
    keep = (touches.name == name) & (step >= 0) & (step < steps)
    cells = touches.row[keep] * steps + step[keep]
    return np.bincount(cells, minlength=len(week) * steps).reshape(len(week), steps)


def joined(parts: list[Touches]) -> Touches:
    """Return all parts as one."""
    names = vars(parts[0])
    return Touches(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def _draw(
    rng: np.random.Generator, name: int, rate: np.ndarray, week: np.ndarray, who: Who
) -> Touches:
    row, step = np.nonzero(times := rng.poisson(rate))
    times = times[row, step]
    row, step = np.repeat(row, times), np.repeat(step, times)
    time = moments(rng, week[row] + step)
    named = np.full(len(row), name)
    return Touches(row=row, name=named, time=time, cause=time, contact=who(rng, row, time))


def _react(
    rng: np.random.Generator,
    reaction: Reaction,
    cause: Touches,
    drive: np.ndarray,
    week: np.ndarray,
) -> Touches:
    step = np.clip(cause.time // WEEK - week[cause.row], 0, drive.shape[1] - 1)
    chance = sigmoid(reaction.odds + reaction.slope * drive[cause.row, step])
    answered = cause.where(rng.random(len(chance)) < chance)
    wait = HOUR // 60 + rng.exponential(reaction.hours * HOUR, len(answered.row)).astype(np.int64)
    name = np.full(len(wait), reaction.name)
    return replace(answered, name=name, time=answered.time + wait)
