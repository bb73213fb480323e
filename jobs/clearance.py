"""Clearance: up to which privacy class a report shows values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.access.privacy import Privacy
from cluster.access.roles import known

if TYPE_CHECKING:
    from cluster.workspace import Workspace

HELP = "Privacy class up to which values are shown: public, internal, confidential, personal."


def of(workspace: Workspace, asked: str | None) -> Privacy:
    """Return the class up to which a report shows values: what is asked for (which leave was asked
    for before), else what the settings say. WrongUse for a class that is none.
    """
    said = asked if asked is not None else workspace.settings.reports.clearance
    return known(Privacy, "a privacy class", said)


def needed(workspace: Workspace, asked: str | None) -> Privacy | None:
    """Return the class that who runs a report must be cleared for; None if anybody may see it."""
    wanted = of(workspace, asked)
    return None if of(workspace, None).covers(wanted) else wanted
