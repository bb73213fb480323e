"""What a simulation is given and what it gives back, as plain arrays that travel to any worker.

A unit is a lead or a deal on its way through the stages of a funnel. A lead that becomes a deal
stays the same unit. It is in a stratum (units whose chances are learnt together, such as a band of
a score), in a group (segment, team and owner, for the answers) and belongs to a desk (reps who
share a capacity). A step is a week or a day, as the funnel says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

TIMING = ("earlier", "later", "more", "displaced", "steps gained", "both")  # see timing
PARTS = ("existing", "leads", "new")  # deals open at T; leads open at T; what arrives after it


class Start(NamedTuple):
    """The units open at T, oldest first; one element each."""

    name: np.ndarray  # uint64, below 2^63: its address in random numbers
    stage: np.ndarray  # int64
    stayed: np.ndarray  # int64, whole steps in the stage
    stratum: np.ndarray  # int64
    group: np.ndarray  # int64
    desk: np.ndarray  # int64
    part: np.ndarray  # int64, place in PARTS: 0 or 1
    cents: np.ndarray  # int64, -1 where the amount is not known
    tired: np.ndarray  # float64, contacts that it still feels


class Arrivals(NamedTuple):
    """Kinds of units that arrive, one row each: kinds differ in where their units begin."""

    stage: np.ndarray  # int64 [kinds]
    share: np.ndarray  # float64 [kinds, strata, groups], sums to 1 over strata and groups
    desk_of: np.ndarray  # int64 [groups], the desk of the units of a group


class Parameters(NamedTuple):
    """What holds for all units, one row per draw."""

    moves: np.ndarray  # float64 [draws, strata, stages, bands, stages + 2], chances of a step
    rates: np.ndarray  # float64 [draws, steps, kinds], units expected to arrive
    spread: np.ndarray  # float64 [kinds], variance of the gamma factor on a step's rate; 0: Poisson
    amounts: np.ndarray  # float64 [draws, 2], mean and sd of the log cents of an unknown amount
    revised: np.ndarray  # float64 [draws, 2], the same of log(cents won / cents known before)
    shock_sd: np.ndarray  # float64 [1 + segments], on the log odds of going forward
    tilt: np.ndarray  # float64 [steps, stages], what the calendar adds to those log odds
    level: np.ndarray  # float64 [draws, steps], what else is added to those of all units


class Frame(NamedTuple):
    """What does not change with the draw: the sizes, bands and segments of a funnel."""

    stages: int  # WON is this number, LOST the next
    band_of: np.ndarray  # int64, band by whole steps in the stage; the last holds for all beyond
    segment_of: np.ndarray  # int64 [groups], the segment whose shock the group shares
    deals_from: int  # from this stage on a unit is a deal


class Outcome(NamedTuple):
    """What happened, exact whole numbers, per draw and step."""

    won: np.ndarray  # int64 [draws, steps, groups, parts], units
    cents: np.ndarray  # int64 [draws, steps, groups, parts], value of the units won
    open: np.ndarray  # int32 [draws, steps, groups, stages], units open at the end of the step
    contacts: np.ndarray  # int64 [draws, steps, desks, levers], made
    waiting: np.ndarray  # int64 [draws, steps, desks], listed and not yet reached
    lost_to: np.ndarray  # int64 [draws, steps], units that unsubscribed
    winners: np.ndarray  # uint8 [draws, ceil(units of the start / 8)], bit i: unit i was won
    won_at: np.ndarray  # uint16 [draws, units of the start], 1 + the step in which each was won, 0
    # for never; [draws, 0] once the timing is counted
    timing: np.ndarray  # int64 [draws, TIMING], against the arm that others are compared with
