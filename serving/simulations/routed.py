"""The policies by which a question sends units: which, and which version of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import FunnelcastError, Refusal
from serving.forecast.kinds import Audience
from serving.slots import policies

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.forecast.comparison import Comparison
    from serving.forecast.kinds import Routed
    from serving.policy import Policy

NONE = "none"  # in place of the content of a policy that cannot be read


def policy(workspace: Workspace, routed: Routed) -> Policy | Refusal:
    """Return a version of a policy, or the active one; that of the file where none ever was."""
    if routed.version is None:
        return policies.chosen(workspace, routed.policy)
    known = {
        each.policy.version: each.policy for each in policies.versions(workspace, routed.policy)
    }
    there = known.get(routed.version)
    if there is not None:
        return there
    return Refusal(
        rule=f"a version of policy '{routed.policy}' must have been published",
        value=str(routed.version),
        remedy=f"valid are: {', '.join(map(str, sorted(known))) or 'none'}",
    )


def pinned(workspace: Workspace, comparison: Comparison) -> dict[str, str]:
    """Return which content each policy has that a lever is routed by."""
    asked = [
        lever.routed
        for each in comparison.scenarios
        for lever in each.levers
        if isinstance(lever, Audience) and lever.routed is not None
    ]
    return {
        f"{each.policy}@{each.version or 'active'}": _content(workspace, each) for each in asked
    }


def _content(workspace: Workspace, routed: Routed) -> str:
    try:
        found = policy(workspace, routed)
    except FunnelcastError:  # no such file: the answer says so
        return NONE
    return NONE if isinstance(found, Refusal) else canonical.digest(found.document)
