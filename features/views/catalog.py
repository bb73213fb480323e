"""Every view by name: an explicit list, nothing registers itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import WrongUse, nearest
from features.views import (
    account,
    application,
    cadence,
    customer,
    enquiry,
    friction,
    lead,
    opportunity,
    rollups,
)

if TYPE_CHECKING:
    from features.views.language import View

VIEWS: tuple[View, ...] = (
    lead.VIEW,
    cadence.VIEW,
    account.VIEW,
    opportunity.VIEW,
    friction.VIEW,
    enquiry.VIEW,
    application.VIEW,
    customer.VIEW,
    *(rollups.CAMPAIGN, rollups.REP, rollups.SEGMENT),
)


def view(name: str) -> View:
    """Return the view of this name; WrongUse names the nearest one."""
    by_name = {v.name: v for v in VIEWS}
    if name not in by_name:
        raise WrongUse(f"a view must be declared, got '{name}': {nearest(name, by_name)}")
    return by_name[name]
