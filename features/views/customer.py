"""The customer view: what a shop knows of one before it writes to him."""

from __future__ import annotations

from features.views.aggregates import LastNumber, LastText
from features.views.language import Events, View


def _attribute(name: str) -> Events:
    return Events(kind="attribute", names=(name,))


VIEW = View(
    name="shop_customer",
    entity="lead",
    owner="marketing-operations",
    description="How lately and how much a customer bought, what, where and how.",
    privacy="internal",
    features=(
        LastNumber(
            name="recency_months",
            label="Months since the last purchase",
            events=_attribute("recency_months"),
        ),
        LastNumber(
            name="history_cents", label="Spent last year", events=_attribute("history_cents")
        ),
        LastNumber(name="bought_mens", label="Bought for men", events=_attribute("bought_mens")),
        LastNumber(
            name="bought_womens", label="Bought for women", events=_attribute("bought_womens")
        ),
        LastNumber(name="is_new", label="New last year", events=_attribute("is_new")),
        LastText(name="area", label="Where the customer lives", events=_attribute("area")),
        LastText(name="channel", label="How the customer bought", events=_attribute("channel")),
    ),
)
