"""Where a deal rubs: objections that come back, long pauses, slipping dates, steps backward."""

from __future__ import annotations

from features.views.aggregates import (
    Count,
    Distinct,
    FirstNumber,
    Gap,
    HoursSince,
    LastNumber,
    Share,
    Silence,
    Transitions,
    Trend,
)
from features.views.language import Events, View, windowed

ACTIVITY, STAGES = Events(kind="activity"), Events(kind="stage")
OBJECTIONS = Events(kind="objection")
PRICE = Events(kind="objection", names=("price", "budget"))
APPOINTMENTS = Events(kind="calendar")
EARLY, LATE = ("discovery", "prospecting", "qualification"), ("proposal", "negotiation")


def _changes(name: str) -> Events:
    return Events(kind="opportunity", names=(name,))


VIEW = View(
    name="opportunity_friction",
    entity="opportunity",
    owner="revenue-operations",
    description="Price objections, response gaps, stalls, slipping dates and missed appointments.",
    privacy="internal",
    features=(
        *windowed(Count, "price_objections", "Price objections", PRICE, (30, 90)),
        Distinct(
            name="sorts_of_objection",
            label="Different sorts of objection",
            events=OBJECTIONS,
            column="name",
        ),
        HoursSince(
            name="hours_since_objection", label="Hours since an objection", events=OBJECTIONS
        ),
        Gap(
            name="activity_gap_hours",
            label="Hours between activities, last 90 days",
            events=ACTIVITY,
            window_days=90,
        ),
        Gap(
            name="longest_gap_hours",
            label="Longest pause between activities",
            events=ACTIVITY,
            statistic="max",
        ),
        Silence(name="activity_silence", label="Pause against the deal's own", events=ACTIVITY),
        Trend(
            name="activity_trend",
            label="Activity a day in two weeks against two months",
            events=ACTIVITY,
            window_days=14,
            than_days=60,
        ),
        Gap(
            name="stage_gap_hours",
            label="Longest time in one stage",
            events=STAGES,
            statistic="max",
        ),
        Transitions(
            name="steps_back",
            label="Times the deal fell back to an early stage",
            events=STAGES,
            before=LATE,
            after=EARLY,
        ),
        Count(
            name="date_slips",
            label="Times the closing day was moved",
            events=_changes("close_date_changed"),
        ),
        Count(
            name="amount_changes",
            label="Times the amount changed",
            events=_changes("amount_changed"),
        ),
        FirstNumber(name="first_amount_cents", label="First amount", events=_changes("created")),
        LastNumber(
            name="seller_probability_ppm",
            label="Probability as the seller puts it",
            events=_changes("probability_changed"),
        ),
        Share(
            name="missed_share",
            label="Share of appointments that fell through",
            events=APPOINTMENTS,
            names=("cancelled", "declined", "no_show"),
        ),
    ),
)
