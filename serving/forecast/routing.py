"""Whom a policy sends where, by their score: of each stratum, the share that goes to some routes.

Only scores are asked: rules on features need rows that a simulated unit does not have, and review
of what is unsure needs an interval. So rules and review of the policy are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import Refusal, nearest
from serving import policy as policies
from serving.forecast import strata

if TYPE_CHECKING:
    from serving.forecast.kinds import Routed
    from serving.forecast.strata import Scored, Strata
    from serving.policy import Policy


def shares(
    cut: Strata, scored: tuple[Scored, ...], policy: Policy, routed: Routed
) -> np.ndarray | Refusal:
    """Return float64 [strata]: what share of the scores in each stratum, cut from those of some
    targets, the policy with the thresholds asked about sends to the routes; who has no score is
    sent nowhere.
    """
    if cut.versions is None:
        return Refusal(
            rule="a policy routes by scores",
            value="none",
            remedy="run python -m jobs.score, or leave out `routed`",
        )
    there = [route.route for route in policy.routes]
    for name in (*routed.routes, *routed.at_least):
        if name not in there:
            return Refusal(
                rule=f"a route must be of policy '{policy.name}'",
                value=f"'{name}'",
                remedy=nearest(name, there),
            )
    changed = _with(policy, routed)
    if isinstance(changed, Refusal):
        return changed
    score = np.concatenate([each.rows["score"].to_numpy() for each in scored])
    verdicts = policies.apply_all(changed, score, score, score)
    is_sent = np.array([verdict.route in routed.routes for verdict in verdicts], bool)
    every = np.bincount(cut.of_score, minlength=cut.count)
    sent = np.bincount(cut.of_score, is_sent, minlength=cut.count)
    share = sent / np.maximum(every, 1)
    share[strata.NO_SCORE] = 0.0
    return np.asarray(share)


def _with(policy: Policy, routed: Routed) -> Policy | Refusal:
    """Return the policy without rules and review, with other thresholds."""
    routes = [
        route.model_copy(update={"at_least": routed.at_least.get(route.route, route.at_least)})
        for route in policy.routes
    ]
    bounds = [route.at_least for route in routes]
    if bounds != sorted(bounds, reverse=True) or bounds[-1] != 0:
        return Refusal(
            rule="thresholds must fall from route to route and end at 0",
            value=f"{bounds}",
            remedy="change `at_least`",
        )
    return policy.model_copy(update={"routes": tuple(routes), "rules": (), "review": None})
