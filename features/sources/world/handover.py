"""The handover: marketing qualifies a lead by its engagement, and sales accepts or rejects it.

Marketing adds up points of touches; the touch that reaches the threshold of a lead, which is noisy,
qualifies it. Sales decides some days later by what it learns of interest and fit, or never. Neither
decision changes what becomes of the lead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import touches as touching
from features.sources.world.chance import DAY, HOUR, NEVER, OFFICE, WEEK, sigmoid
from features.sources.world.contacts import IS_SENIOR

if TYPE_CHECKING:
    from features.sources.world.division import Division
    from features.sources.world.people import Leads
    from features.sources.world.touches import Touches

POINTS = {  # of a touch; those that are not named have none
    touching.WEB: 2.0,
    touching.CLICKED: 4.0,
    touching.DOWNLOAD: 6.0,
    touching.PRICING: 8.0,
    touching.FORM: 8.0,
    touching.ATTENDED: 8.0,
    touching.REPLIED: 10.0,
}
THRESHOLD, NOISE = 30.0, 6.0  # points, and how far the threshold of a lead lies from that
AT_ONCE, PAUSE = HOUR // 60, HOUR // 6  # from the touch to the qualification: least, and mean more
ACCEPT = -0.2  # log-odds that sales accepts an average lead
OF_INTEREST, OF_FIT, OF_SENIOR = 1.1, 0.9, 0.5  # slopes of those log-odds
WITHOUT_ACCOUNT = -2.5  # added where nobody knows the company
IGNORED = 0.1  # share of the qualified leads that sales never looks at
LEAST_WAIT, MEAN_WAIT = 8 * HOUR, 3 * DAY  # until sales looks


@dataclass(frozen=True, kw_only=True)
class Handover:
    """What marketing and sales say of the leads; arrays of one entry per lead, times in
    microseconds.
    """

    qualified: np.ndarray  # by marketing; NEVER where it was not
    chance: np.ndarray  # hidden: probability that sales accepts it, NaN where it is not asked
    accepted: np.ndarray  # NEVER where it was not; at most one of the two is not NEVER
    rejected: np.ndarray


def handover(division: Division, leads: Leads, touched: Touches, until: np.ndarray) -> Handover:
    """Draw the handover of leads that end at `until`; `touched` are the touches of their lives."""
    qualified = _qualified(division, len(until), touched)
    qualified[qualified >= until] = NEVER
    lead = np.flatnonzero(qualified != NEVER)
    chance = np.full(len(until), np.nan)
    chance[lead] = sigmoid(_log_odds(leads, lead, qualified[lead]))
    rng = division.stream("sales review")
    says_yes = rng.random(len(until)) < np.nan_to_num(chance)
    looks = rng.random(len(until)) >= IGNORED
    decided = np.full(len(until), NEVER)
    decided[lead] = _decided(rng, len(until), lead, qualified[lead])
    decided[~looks | (decided >= until)] = NEVER
    return Handover(
        qualified=qualified,
        chance=chance,
        accepted=np.where(says_yes, decided, NEVER),
        rejected=np.where(says_yes, NEVER, decided),
    )


def _qualified(division: Division, count: int, touched: Touches) -> np.ndarray:
    """Return when the points of each lead reach its threshold."""
    rng = division.stream("marketing qualification")
    threshold = THRESHOLD + rng.normal(0.0, NOISE, count)
    pause = AT_ONCE + rng.exponential(PAUSE, count).astype(np.int64)
    worth = np.zeros(len(touching.NAMES))
    worth[list(POINTS)] = list(POINTS.values())
    order = np.lexsort((touched.time, touched.row))
    row, time, points = touched.row[order], touched.time[order], worth[touched.name[order]]
    total = np.cumsum(points)
    first = np.searchsorted(row, row)
    total -= total[first] - points[first]
    reached = np.flatnonzero((total >= threshold[row]) & (points > 0))
    found = np.full(count, NEVER)
    lead, place = np.unique(row[reached], return_index=True)
    found[lead] = time[reached[place]] + pause[lead]
    return found


def _log_odds(leads: Leads, lead: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return the log-odds of acceptance for what the leads are like in the week of `time`."""
    step = np.minimum(time // WEEK - leads.week[lead], leads.interest.shape[1] - 1)
    odds = ACCEPT + OF_INTEREST * leads.interest[lead, step] + OF_FIT * leads.fit[lead]
    odds += OF_SENIOR * IS_SENIOR[leads.seniority[lead]]
    return np.asarray(odds + WITHOUT_ACCOUNT * (leads.account[lead] < 0))


def _decided(
    rng: np.random.Generator, count: int, lead: np.ndarray, since: np.ndarray
) -> np.ndarray:
    """Return when sales decides on some of `count` leads: on a working day."""
    wait = LEAST_WAIT + rng.exponential(MEAN_WAIT, count).astype(np.int64)[lead]
    hour = (rng.triangular(*OFFICE[1], count)[lead] * HOUR).astype(np.int64)
    day = (since + wait) // DAY
    weekday = day % 7
    time = (day + (7 - weekday) * (weekday > 4)) * DAY + hour
    return np.asarray(np.maximum(time, since + LEAST_WAIT))
