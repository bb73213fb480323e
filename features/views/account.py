"""The account view: how deeply it uses the product, where that declines, and what moves it."""

from __future__ import annotations

from features.views.aggregates import (
    Count,
    Distinct,
    Gap,
    HoursSince,
    LastNumber,
    LastText,
    Mean,
    Share,
    Silence,
    Streak,
    Sum,
    Trend,
)
from features.views.language import Events, View, windowed

USAGE, TOUCH, INTENT = Events(kind="usage"), Events(kind="touch"), Events(kind="intent")
SESSIONS = Events(kind="usage", names=("session",))
TICKETS = Events(kind="support", names=("ticket",))
PAID = ("ad_impression", "ad_click", "social_impression", "social_click")


def _attribute(name: str) -> Events:
    return Events(kind="attribute", names=(name,))


VIEW = View(
    name="account_health",
    entity="account",
    owner="customer-success",
    description="Attributes, usage depth and decline, support, intent and campaign mix.",
    privacy="internal",
    features=(
        LastText(name="industry", label="Industry", events=_attribute("industry")),
        LastText(name="region", label="Region", events=_attribute("region")),
        LastNumber(name="employees", label="Employees", events=_attribute("employees")),
        LastNumber(
            name="seats", label="Seats", events=Events(kind="usage", names=("seats_changed",))
        ),
        *windowed(Count, "sessions", "Product sessions", SESSIONS, (7, 30, 90)),
        *windowed(Sum, "session_seconds", "Seconds in the product", SESSIONS, (30,)),
        *windowed(Mean, "session_length", "Seconds per session", SESSIONS, (30,)),
        Distinct(
            name="features_used_30d",
            label="Different features used, last 30 days",
            events=Events(kind="usage", names=("feature_used",)),
            window_days=30,
            column="text",
        ),
        Distinct(
            name="people_active_30d",
            label="People active, last 30 days",
            events=USAGE,
            window_days=30,
            column="person",
        ),
        Trend(
            name="usage_trend",
            label="Usage a day this week against the quarter",
            events=USAGE,
            window_days=7,
            than_days=90,
        ),
        Streak(name="weeks_of_usage", label="Weeks in a row with usage", events=USAGE),
        Silence(name="usage_silence", label="Pause in usage against its own", events=USAGE),
        Gap(
            name="usage_gap_hours",
            label="Hours between uses, last 90 days",
            events=USAGE,
            window_days=90,
        ),
        *windowed(Count, "errors", "Errors", Events(kind="usage", names=("error",)), (30,)),
        *windowed(Count, "tickets", "Support tickets", TICKETS, (30, 90)),
        HoursSince(name="hours_since_ticket", label="Hours since the last ticket", events=TICKETS),
        *windowed(Count, "intent_signals", "Signs of intent", INTENT, (30,)),
        Distinct(
            name="intent_topics_90d",
            label="Topics of intent, last 90 days",
            events=INTENT,
            window_days=90,
            column="text",
        ),
        *windowed(Count, "touches", "Touches", TOUCH, (30, 90)),
        Distinct(
            name="leads_touched_90d",
            label="Leads touched, last 90 days",
            events=TOUCH,
            window_days=90,
            column="lead",
        ),
        Distinct(
            name="campaigns_90d",
            label="Campaigns, last 90 days",
            events=TOUCH,
            window_days=90,
            column="campaign",
        ),
        Share(
            name="paid_share_90d",
            label="Share of paid touches, last 90 days",
            events=TOUCH,
            window_days=90,
            names=PAID,
        ),
        HoursSince(name="hours_since_touch", label="Hours since the last touch", events=TOUCH),
    ),
)
