"""Rollups: what campaigns, reps and segments bring about, as features of whatever they touch."""

from __future__ import annotations

from features.views.aggregates import Count, Distinct, HoursSince, Mean, Ratio, Sum
from features.views.language import Events, View, windowed

TOUCH, REPLIES = Events(kind="touch"), Events(kind="touch", names=("email_replied",))
SENT = Events(kind="touch", names=("email_sent",))
WORK, TALKS = Events(kind="activity"), Events(kind="activity", names=("call", "meeting", "demo"))
WON = Events(kind="outcome", names=("won",))
ENDED = Events(kind="outcome", names=("won", "lost"))
CREATED = Events(kind="opportunity", names=("created",))
LEADS = Events(kind="lead", names=("created",))

CAMPAIGN = View(
    name="campaign_response",
    entity="campaign",
    owner="marketing",
    description="Reach and response of a campaign.",
    privacy="internal",
    features=(
        *windowed(Count, "campaign_touches", "Touches of the campaign", TOUCH, (30, 90)),
        Distinct(
            name="campaign_accounts_90d",
            label="Accounts that the campaign touched, last 90 days",
            events=TOUCH,
            window_days=90,
            column="account",
        ),
        Ratio(
            name="campaign_reply_rate_90d",
            label="Replies per mail of the campaign, last 90 days",
            events=REPLIES,
            per=SENT,
            window_days=90,
        ),
        HoursSince(name="campaign_quiet_hours", label="Hours since its last touch", events=TOUCH),
    ),
)
REP = View(
    name="rep_workload",
    entity="rep",
    owner="sales-operations",
    description="How busy a rep is, and how its deals end.",
    privacy="personal",
    features=(
        *windowed(Count, "rep_activities", "Activities of the rep", WORK, (7, 30)),
        *windowed(Count, "rep_talks", "Calls, meetings and demos of the rep", TALKS, (30,)),
        *windowed(Count, "rep_new_deals", "New deals of the rep", CREATED, (30, 90)),
        Distinct(
            name="rep_accounts_30d",
            label="Accounts that the rep worked on, last 30 days",
            events=WORK,
            window_days=30,
            column="account",
        ),
        Ratio(
            name="rep_win_rate_180d",
            label="Share of the rep's deals that were won, last 180 days",
            events=WON,
            per=ENDED,
            window_days=180,
        ),
    ),
)
SEGMENT = View(
    name="industry_outcomes",
    entity="segment",
    by="industry",
    owner="revenue-operations",
    description="Demand, and how deals end, in an industry.",
    privacy="internal",
    features=(
        *windowed(Count, "industry_leads", "New leads of the industry", LEADS, (30, 90)),
        *windowed(Count, "industry_deals", "New deals of the industry", CREATED, (30, 90)),
        *windowed(Sum, "industry_won_cents", "Amount won in the industry", WON, (90,)),
        *windowed(Mean, "industry_deal_cents", "Amount of a deal there", CREATED, (180,)),
        Ratio(
            name="industry_win_rate_180d",
            label="Share of deals that were won in the industry, last 180 days",
            events=WON,
            per=ENDED,
            window_days=180,
        ),
    ),
)
