"""The opportunity view: what is sold to whom, how the deal moves, and where it rubs."""

from __future__ import annotations

from features.views.aggregates import Count, HoursSince, LastName, LastNumber, LastText
from features.views.language import Events, View, windowed


def _attribute(name: str, of: str = "") -> Events:
    return Events(kind="attribute", names=(name,), of=of)


VIEW = View(
    name="opportunity_progress",
    entity="opportunity",
    owner="revenue-operations",
    description="Deal, account, stage movement, activity cadence, usage and friction.",
    privacy="internal",
    features=(
        LastNumber(
            name="amount_cents",
            label="Amount",
            events=Events(kind="opportunity", names=("created",)),
        ),
        LastText(name="product", label="Product", events=_attribute("product")),
        LastText(name="sales_agent", label="Sales agent", events=_attribute("sales_agent")),
        LastText(name="manager", label="Sales manager", events=_attribute("manager")),
        LastText(
            name="regional_office", label="Sales office", events=_attribute("regional_office")
        ),
        LastText(name="industry", label="Industry", events=_attribute("industry", "account")),
        LastText(name="region", label="Region", events=_attribute("region", "account")),
        LastNumber(name="employees", label="Employees", events=_attribute("employees", "account")),
        LastNumber(
            name="revenue_cents", label="Revenue", events=_attribute("revenue_cents", "account")
        ),
        LastName(name="stage", label="Stage", events=Events(kind="stage")),
        Count(name="stages_entered", label="Stages entered", events=Events(kind="stage")),
        HoursSince(name="hours_in_stage", label="Hours in stage", events=Events(kind="stage")),
        HoursSince(
            name="age_hours",
            label="Hours since the deal was created",
            events=Events(kind="opportunity", names=("created",)),
        ),
        *windowed(
            Count, "meetings", "Meetings", Events(kind="activity", names=("meeting",)), (14, 60)
        ),
        *windowed(Count, "calls", "Calls", Events(kind="activity", names=("call",)), (14, 60)),
        *windowed(
            Count,
            "emails",
            "E-mails by the rep",
            Events(kind="activity", names=("email",)),
            (14, 60),
        ),
        HoursSince(
            name="hours_since_activity",
            label="Hours since a rep last acted",
            events=Events(kind="activity"),
        ),
        Count(name="price_objections", label="Price objections", events=Events(kind="objection")),
        *windowed(
            Count,
            "account_touches",
            "Touches anywhere in the account",
            Events(kind="touch", of="account"),
            (14, 60),
        ),
        *windowed(
            Count,
            "account_sessions",
            "Product sessions of the account",
            Events(kind="usage", of="account"),
            (14, 60),
        ),
        *windowed(
            Count,
            "account_tickets",
            "Support tickets of the account",
            Events(kind="support", of="account"),
            (60,),
        ),
    ),
)
