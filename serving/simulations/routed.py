"""The policies by which a question sends units: which, which version of each, and whose scores each
routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import FunnelcastError, Refusal, nearest
from features.targets import load_target
from serving import scored
from serving.forecast import routing
from serving.forecast.kinds import Audience
from serving.forecast.routing import Sent
from serving.moved.properties import POLICY
from serving.simulations.words import Wrong
from serving.slots import policies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.workspace import Workspace
    from serving.forecast.comparison import Comparison
    from serving.forecast.funnels import Funnel
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


def sent(workspace: Workspace, funnel: Funnel, routed: Routed) -> Sent | Refusal:
    """Return whom a lever takes of those whom its policy routes; a Refusal where there is no such
    policy, version, route or score. FunnelcastError of a policy that cannot be read.
    """
    found = policy(workspace, routed)
    if isinstance(found, Refusal):
        return found
    changed = routing.changed(found, routed)
    if isinstance(changed, Refusal):
        return changed
    target = _target(workspace, funnel, routed)
    return target if isinstance(target, Refusal) else Sent(changed, routed.routes, target)


def wrong(workspace: Workspace, funnel: Funnel, comparison: Comparison) -> Wrong | None:
    """Return the first lever that is routed by what is not there; None where all fit."""
    for name, place, routed in _routed(comparison):
        try:
            found = sent(workspace, funnel, routed)
        except FunnelcastError as error:
            return Wrong.of(f"scenario '{name}': lever {place}: {error}")
        if isinstance(found, Refusal):
            rule = f"scenario '{name}': lever {place}: {found.rule}"
            return Wrong(rule=rule, value=found.value, remedy=found.remedy)
    return None


def pinned(workspace: Workspace, comparison: Comparison, funnel: Funnel) -> dict[str, str]:
    """Return which content each policy has that a lever is routed by, and whose scores it takes."""
    asked = [routed for _, _, routed in _routed(comparison)]
    return {_named(each): _content(workspace, funnel, each) for each in asked}


def _named(routed: Routed) -> str:
    target = "" if routed.target is None else f" of {routed.target}"
    return f"{routed.policy}@{routed.version or 'active'}{target}"


def _routed(comparison: Comparison) -> Iterator[tuple[str, int, Routed]]:
    """Give what levers are routed by: the scenario, the lever's place from 1, and by what."""
    for each in comparison.scenarios:
        for place, lever in enumerate(each.levers, start=1):
            if isinstance(lever, Audience) and lever.routed is not None:
                yield each.name, place, lever.routed


def _content(workspace: Workspace, funnel: Funnel, routed: Routed) -> str:
    try:
        found = policy(workspace, routed)
    except FunnelcastError:  # no such file: the answer says so
        return NONE
    if isinstance(found, Refusal):
        return NONE
    target = _target(workspace, funnel, routed)
    return canonical.digest([found.document, target if isinstance(target, str) else NONE])


def _target(workspace: Workspace, funnel: Funnel, routed: Routed) -> str | Refusal:
    """Return whose scores a policy routes: those that a lever says, or that it routed last. Of one
    that routed none yet it is taken that it is for the scores of the funnel, if those are of one
    target.
    """
    heads = scored.heads(workspace.tables, funnel).values()
    both = zip(funnel.scores, heads, strict=True)
    there = [each.target for each, head in both if head != str(None)]
    if not there:
        return routing.NO_SCORES
    if routed.target is not None:
        return routed.target if routed.target in there else _unknown(routed.target, there)
    last = [each for each in there if _last(workspace, each) == routed.policy]
    last = last or (there if len(funnel.scores) == 1 else [])
    return last[0] if len(last) == 1 else _unsaid(routed.policy, there, last)


def _last(workspace: Workspace, target: str) -> str | None:
    """Return the name of the policy that routed the newest scores of a target."""
    tables, name = workspace.tables, load_target(target).scores_table
    head = tables.head(name)
    said = {} if head is None else tables.properties(name, head)
    return said.get(POLICY, "").partition("@")[0] or None


def _unknown(target: str, there: list[str]) -> Refusal:
    rule = "a target of `routed` must be one whose scores there are"
    return Refusal(rule=rule, value=f"'{target}'", remedy=nearest(target, there))


def _unsaid(name: str, there: list[str], last: list[str]) -> Refusal:
    rule = "whose scores a policy routes must be known"
    several = " or ".join(f"'{each}'" for each in last or there)
    remedy = f"say it by `target` of `routed`, as {several}"
    so_many = "several of them" if last else "none of them"
    return Refusal(rule=rule, value=f"'{name}', which routed {so_many} last", remedy=remedy)
