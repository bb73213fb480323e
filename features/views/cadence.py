"""The lead's rhythm: how fast and how regularly it engages, who answers whom, and when it stops."""

from __future__ import annotations

from features.views.aggregates import (
    Decay,
    Distinct,
    FirstName,
    Gap,
    HoursIn,
    HoursSinceFirst,
    HoursUnanswered,
    LastName,
    Ratio,
    ResponseHours,
    Share,
    Silence,
    Streak,
    Trend,
)
from features.views.language import Events, View

TOUCH = Events(kind="touch")
VISITS = Events(kind="touch", names=("web_visit", "page_view", "pricing_visit"))
SENT = Events(kind="touch", names=("email_sent",))
REPLIES = Events(kind="touch", names=("email_replied",))
TALKS = Events(kind="activity", names=("call", "meeting", "demo"))
STATES = Events(kind="lead")

VIEW = View(
    name="lead_cadence",
    entity="lead",
    owner="revenue-operations",
    description="Velocity, frequency, mail and meeting cadence, silence, and the lead's lifecycle.",
    privacy="personal",
    features=(
        Trend(
            name="touch_velocity",
            label="Touches a day this week against this month",
            events=TOUCH,
            window_days=7,
            than_days=30,
        ),
        Decay(name="touch_heat", label="Touches, fading by week", events=TOUCH, half_life_days=7),
        Decay(
            name="visit_heat", label="Web visits, fading by week", events=VISITS, half_life_days=7
        ),
        Gap(
            name="touch_gap_hours",
            label="Hours between touches, last 90 days",
            events=TOUCH,
            window_days=90,
        ),
        Gap(
            name="longest_gap_hours",
            label="Longest pause between touches, last 90 days",
            events=TOUCH,
            window_days=90,
            statistic="max",
        ),
        Streak(name="weeks_active", label="Weeks in a row with touches", events=TOUCH),
        Silence(name="silence", label="Pause against the lead's own pauses", events=TOUCH),
        Distinct(
            name="channels_90d",
            label="Different sorts of touch, last 90 days",
            events=TOUCH,
            window_days=90,
            column="name",
        ),
        Distinct(
            name="campaigns_90d",
            label="Campaigns that touched the lead, last 90 days",
            events=TOUCH,
            window_days=90,
            column="campaign",
        ),
        Share(
            name="pricing_share_90d",
            label="Share of visits to the pricing page, last 90 days",
            events=VISITS,
            window_days=90,
            names=("pricing_visit",),
        ),
        Ratio(
            name="reply_rate_90d",
            label="Replies per mail, last 90 days",
            events=REPLIES,
            per=SENT,
            window_days=90,
        ),
        ResponseHours(
            name="reply_hours", label="Hours until the lead replies", events=SENT, answer=REPLIES
        ),
        HoursUnanswered(
            name="hours_unanswered",
            label="Hours for which our last mail has no reply",
            events=SENT,
            answer=REPLIES,
        ),
        Gap(name="talk_gap_hours", label="Hours between calls and meetings", events=TALKS),
        FirstName(name="first_touch", label="First touch", events=TOUCH),
        HoursSinceFirst(
            name="hours_since_first_touch", label="Hours since the first touch", events=TOUCH
        ),
        LastName(name="state", label="State of the lead", events=STATES),
        HoursIn(
            name="hours_marketing_qualified",
            label="Hours as marketing qualified",
            events=STATES,
            names=("marketing_qualified",),
        ),
    ),
)
