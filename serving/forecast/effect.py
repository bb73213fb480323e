"""The effect of outreach, from the log: inverse propensity weighting of a randomised contact.

Each lead's first lot counts (treated or control, with the logged probability p of treatment). From
the lot on the lead is followed for CONTACT_DAYS, until it leaves its stage or until T. Weights are
1/p for treated and 1/(1-p) for control leads, and the rate of an arm is the Hajek ratio
sum(w y) / sum(w e)  of those y who go forward to exposure e in days. The log of the ratio of rates
has the variance of its linearised influence, summed by account, because contacts of one account
share their fate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import Refusal
from features import log
from features.targets import Named
from serving.forecast import standing
from serving.forecast.evidence import Effect, Grade
from serving.forecast.funnels import DAY

if TYPE_CHECKING:
    from serving.forecast.person import Person
    from serving.forecast.units import Course

CONTACT_DAYS = 28  # a unit counts as contacted for so long after an outreach
LEAST_FORWARD = 10  # per arm: below it the normal approximation of a log rate is poor
OUTREACH = Named(kind="intervention")
TREATED, CONTROL = "treated", "control"
PPM = 1_000_000
Z90 = 1.6448536269514722
_NOBODY = -1


class Lots(NamedTuple):
    """The first lot of each lead that drew one, one element each; times in microseconds."""

    time: np.ndarray  # int64
    chance: np.ndarray  # float64, of treatment
    is_treated: np.ndarray  # bool
    ends: np.ndarray  # int64, when it left its stage, log.NEVER if it did not
    is_forward: np.ndarray  # bool, and went on to a later one
    cluster: np.ndarray  # int64, the account, or the lead where it has none


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A ratio of rates with its standard error on the log scale."""

    ratio: float
    log_sd: float
    leads: tuple[int, int]  # treated, control
    forward: tuple[int, int]

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the ratio."""
        factor = float(np.exp(Z90 * self.log_sd))
        return self.ratio / factor, self.ratio * factor

    def as_effect(self, step_days: int) -> Effect:
        """Return the estimate as the effect of a lever, for steps of so many days."""
        return Effect(
            ratio=self.ratio,
            sd=self.log_sd,
            grade=Grade.RANDOMISED,
            lasts=CONTACT_DAYS // step_days,
        )

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"ratio of rates {self.ratio:.2f}, 90 % interval {low:.2f} to {high:.2f}, from"
            f" {self.leads[0]} treated and {self.leads[1]} control leads"
        )


def estimate(lots: Lots, at: int) -> Estimate | Refusal:
    """Estimate the ratio of rates of a contact as known at `at`; a Refusal when too little is
    there.
    """
    # a lot whose outcome was certain says nothing about the other arm
    lots = _only(lots, (lots.chance > 0.0) & (lots.chance < 1.0) & (lots.ends > lots.time))
    treated = lots.is_treated
    until = np.minimum(lots.time + CONTACT_DAYS * DAY, at)
    y = lots.is_forward & (lots.ends <= until)
    forward = (int(y[treated].sum()), int(y[~treated].sum()))
    if min(forward) < LEAST_FORWARD:
        return Refusal(
            rule=f"an estimate needs at least {LEAST_FORWARD} leads in each arm that went forward",
            value=f"{forward[0]} treated and {forward[1]} control",
            remedy="randomise more outreach, or state the effect with grade 'assumption'",
        )
    days = (np.minimum(lots.ends, until) - lots.time) / DAY
    weight = 1.0 / np.where(treated, lots.chance, 1.0 - lots.chance)
    up, of_up = _arm(np.where(treated, weight, 0.0), y, days)
    down, of_down = _arm(np.where(treated, 0.0, weight), y, days)
    by_cluster = np.bincount(np.unique(lots.cluster, return_inverse=True)[1], of_up - of_down)
    return Estimate(
        ratio=up / down,
        log_sd=float(np.sqrt((by_cluster**2).sum())),
        leads=(int(treated.sum()), int((~treated).sum())),
        forward=forward,
    )


def lots(course: Course) -> Lots:
    """Return the lots of the units that were in their first stage when they drew."""
    places = _told(course)
    unit, time = _of(course, places)
    first = np.lexsort((time, unit))
    first = first[unit[first] >= 0]
    first = first[np.unique(unit[first], return_index=True)[1]]
    unit, time, events = unit[first], time[first], course.events.take(pa.array(places[first]))
    begins, ends, is_forward = _courses(course)
    account = course.members.account[unit]
    found = Lots(
        time=time,
        chance=pc.fill_null(events["number"].cast(pa.float64()), 0.0).to_numpy() / PPM,
        is_treated=pc.equal(events["text"], TREATED).to_numpy(),
        ends=ends[unit],
        is_forward=is_forward[unit],
        cluster=np.where(account >= 0, account, len(course.keys.accounts) + unit),
    )
    return _only(found, begins[unit] <= time)


def contacted(course: Course, rows: Person, stages: frozenset[int]) -> float:
    """Return the share of the steps spent in some stages that were under a contact."""
    places = _told(course)
    treated = pc.equal(course.events["text"].take(pa.array(places)), TREATED).to_numpy()
    places = places[treated]
    unit, time = _of(course, places)
    last = course.versions(places, unit, len(course.names), time)
    chosen = np.isin(rows.stage, sorted(stages))
    when = standing.latest(last, rows.unit[chosen], rows.begins[chosen], none=-log.NEVER)
    under = rows.begins[chosen] - CONTACT_DAYS * DAY <= when
    weight = rows.exposure[chosen]
    return float(weight @ under / weight.sum()) if weight.sum() else 0.0


def _only(lots: Lots, which: np.ndarray) -> Lots:
    return Lots(*(column[which] for column in lots))


def _arm(weight: np.ndarray, y: np.ndarray, days: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the weighted rate of an arm and each lot's influence on its logarithm."""
    events = float((weight * y).sum())
    rate = events / float((weight * days).sum())
    return rate, np.asarray(weight * (y - rate * days) / events, float)


def _told(course: Course) -> np.ndarray:
    """Return the places of the lots and contacts that stand at T."""
    places = course.told([OUTREACH])
    places = places[course.replaced[places] == log.NEVER]
    texts = course.events["text"].take(pa.array(places))
    named = pc.fill_null(pc.is_in(texts, pa.array([TREATED, CONTROL])), False).to_numpy()
    time = log.microseconds(course.events["event_time"].take(pa.array(places)))
    return np.asarray(places[named & (time < course.at)])


def _of(course: Course, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which unit some events are about, by its lead, and when they happened."""
    there = course.events.take(pa.array(places))
    code = pc.fill_null(pc.index_in(there["lead"].cast(pa.string()), course.keys.leads), _NOBODY)
    unit = np.append(course.keys.unit_of_lead, _NOBODY)[code.to_numpy()]
    return unit, log.microseconds(there["event_time"])


def _courses(course: Course) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each unit when it began, when it left its first stage, and whether forward."""
    moves = course.moves
    stands = (moves.holds <= course.at) & (moves.replaced > course.at)
    key = np.repeat(np.arange(len(course.names)), np.diff(moves.begins))
    begins, ends = (np.full(len(course.names), log.NEVER) for _ in range(2))
    np.minimum.at(begins, key[stands], moves.time[stands])
    leaves = stands & (moves.said > 0)
    np.minimum.at(ends, key[leaves], moves.time[leaves])
    is_last = leaves & (moves.said == course.funnel.lost_state) & (moves.time == ends[key])
    is_forward = ends < log.NEVER
    is_forward[key[is_last]] = False
    return begins, ends, is_forward
