"""The lead view: who the lead is, how it behaves, and what we did about it."""

from __future__ import annotations

from features.views.aggregates import Count, HoursSince, LastNumber, LastText
from features.views.language import Events, View, windowed

_WINDOWS = (7, 30, 90)


def _touches(*names: str) -> Events:
    return Events(kind="touch", names=names)


def _attribute(name: str, of: str = "") -> Events:
    return Events(kind="attribute", names=(name,), of=of)


VIEW = View(
    name="lead_engagement",
    entity="lead",
    owner="revenue-operations",
    description="Attributes, engagement over three windows, recency and our own activity.",
    privacy="personal",
    features=(
        LastText(name="origin", label="Where the lead came from", events=_attribute("origin")),
        LastText(
            name="landing_page", label="First landing page", events=_attribute("landing_page")
        ),
        LastText(name="seniority", label="Seniority of the person", events=_attribute("seniority")),
        LastText(name="region", label="Region", events=_attribute("region")),
        LastText(name="industry", label="Industry", events=_attribute("industry")),
        LastNumber(name="employees", label="Employees", events=_attribute("employees")),
        *windowed(Count, "web_visits", "Web visits", _touches("web_visit"), _WINDOWS),
        *windowed(
            Count, "pricing_visits", "Pricing page visits", _touches("pricing_visit"), _WINDOWS
        ),
        *windowed(Count, "emails_sent", "E-mails sent", _touches("email_sent"), _WINDOWS),
        *windowed(Count, "emails_opened", "E-mails opened", _touches("email_opened"), _WINDOWS),
        *windowed(Count, "emails_clicked", "E-mails clicked", _touches("email_clicked"), _WINDOWS),
        *windowed(Count, "emails_replied", "E-mails replied", _touches("email_replied"), _WINDOWS),
        *windowed(
            Count,
            "content",
            "Downloads, forms and webinars",
            _touches("content_download", "form_submitted", "webinar_attended"),
            _WINDOWS,
        ),
        *windowed(Count, "ad_clicks", "Ad clicks", _touches("ad_click"), (30,)),
        *windowed(
            Count, "calls", "Calls by a rep", Events(kind="activity", names=("call",)), (30,)
        ),
        *windowed(
            Count, "meetings", "Meetings", Events(kind="activity", names=("meeting",)), (30,)
        ),
        *windowed(
            Count,
            "account_touches",
            "Touches anywhere in the account",
            Events(kind="touch", of="account"),
            (30,),
        ),
        *windowed(
            Count,
            "account_sessions",
            "Product sessions of the account",
            Events(kind="usage", of="account"),
            (7, 30),
        ),
        HoursSince(
            name="hours_since_touch",
            label="Hours since the last touch",
            events=Events(kind="touch"),
        ),
        HoursSince(
            name="hours_since_activity",
            label="Hours since a rep last acted",
            events=Events(kind="activity"),
        ),
        HoursSince(
            name="age_hours",
            label="Hours since the lead was created",
            events=Events(kind="lead", names=("created",)),
        ),
    ),
)
