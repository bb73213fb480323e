"""Whom a policy sends where, by their score: of each stratum, the share that goes to some routes.

A policy is made for the scores of one target: those of another, such as of deals where it routes
leads, are sent nowhere. Only scores are asked: rules on features need rows that a simulated unit
does not have, and review of what is unsure needs an interval. So rules and review of the policy are
left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cluster.errors import Refusal, nearest
from serving import policy as policies

if TYPE_CHECKING:
    from serving.forecast.kinds import Routed
    from serving.forecast.strata import Scored, Strata
    from serving.policy import Policy

NO_SCORES = Refusal(
    rule="a policy routes by scores",
    value="none",
    remedy="run python -m jobs.score, or leave out `routed`",
)


class Sent(NamedTuple):
    """Whom a lever takes of those whom a policy routes."""

    policy: Policy  # with the thresholds asked about, without rules and review
    routes: tuple[str, ...]
    target: str  # whose scores it routes


def shares(cut: Strata, scored: tuple[Scored, ...], sent: Sent) -> np.ndarray | Refusal:
    """Return float64 [strata]: what share of the scores in each stratum, cut from those of some
    targets, is sent; who has no score, or one of another target, is sent nowhere.
    """
    if cut.versions is None:
        return NO_SCORES
    score = np.concatenate([each.rows["score"].to_numpy() for each in scored])
    verdicts = policies.apply_all(sent.policy, score, score, score)
    is_sent = np.array([verdict.route in sent.routes for verdict in verdicts], bool)
    every = np.bincount(cut.of_score, minlength=cut.count)
    taken = np.bincount(cut.of_score, is_sent, minlength=cut.count)
    is_of = np.array([name == sent.target for name in cut.names], bool)
    return np.asarray(np.where(is_of, taken / np.maximum(every, 1), 0.0))


def changed(policy: Policy, routed: Routed) -> Policy | Refusal:
    """Return the policy with the thresholds asked about, without rules and review; a Refusal of
    routes that it does not have, and of thresholds that do not fall.
    """
    there = [route.route for route in policy.routes]
    for name in (*routed.routes, *routed.at_least):
        if name not in there:
            return Refusal(
                rule=f"a route must be of policy '{policy.name}'",
                value=f"'{name[:60]}'",
                remedy=nearest(name, there),
            )
    return _with(policy, routed)


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
