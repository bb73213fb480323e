"""Overrides: that a person decided otherwise than a decision, as the journal keeps it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.errors import Refusal, nearest
from serving.judging.told import OVERRIDDEN
from serving.policy import Policy
from serving.wire.releases import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MOST = 20  # of one decision: people change their minds, programs in a loop do not end
WORDS = 60  # letters of a route in a message

type Body = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Instead:
    """What a person did instead, and who says so."""

    route: str
    reason: str | None  # a code, never a text
    actor: str

    def is_said(self, body: Body) -> bool:
        """Does an override say the same already, whoever said it?"""
        return (body["route"], body["reason"]) == (self.route, self.reason)


def id_of(decision: str, number: int) -> str:
    """Return the id of the entry of a decision's first, second ... override.

    >>> id_of("9f3a3f13", 1)
    'decision.overridden:9f3a3f13:1'
    """
    return f"{OVERRIDDEN}:{decision}:{number}"


def body_of(decided: Body, instead: Instead, policy: Policy | Refusal) -> dict[str, Any]:
    """Return what the journal keeps: with what was drawn and decided, so that who judges a release
    need not look for the decision.
    """
    seen, fallback = decided.get("seen"), decided.get("fallback")
    return {
        "decision": decided["id"],
        "account": seen["shard"] if seen else None,
        "decided": decided["verdict"]["route"],
        "route": instead.route,
        "reason": instead.reason,
        "actor": instead.actor,
        "reviewed": decided["verdict"]["route"] in _reviewing(policy),
        "fallback": fallback["cause"] if fallback else None,
        "basis": decided["basis"],
        "release": decided.get("release"),
    }


def said(body: Body, at: datetime) -> dict[str, Any]:
    """Return an override as an answer has it, by its entry and the time of that."""
    names = ("route", "decided", "reason", "actor", "reviewed")
    return {**{name: body[name] for name in names}, "at": at}


def refused(decided: Body, route: str, policy: Policy | Refusal) -> Refusal | None:
    """Return why a decision cannot be overridden by a route; None if it can."""
    if route == decided["verdict"]["route"]:
        return Refusal(
            rule="a route must be another than the one decided",
            value=f"'{route[:WORDS]}'",
            remedy="leave it: nothing is overridden",
        )
    if isinstance(policy, Policy):
        known = routes(policy)
        return None if route in known else _no_route(policy.id, known, route)
    if re.fullmatch(NAME, route):
        return None
    return Refusal(
        rule="a route must be small letters, digits, _ and -, where its policy is not there",
        value=f"'{route[:WORDS]}'",
        remedy="name it so",
    )


def too_often(decision: str) -> Refusal:
    """Refuse one more override of a decision."""
    return Refusal(
        rule=f"a decision must be overridden at most {MOST} times",
        value=f"one more of '{decision}'",
        remedy="leave it as it was said last",
    )


def routes(policy: Policy) -> tuple[str, ...]:
    """Return every route that a policy may give, each once: those by threshold first."""
    own = [*(each.route for each in policy.routes), *(each.route for each in policy.rules)]
    others = [each.route for each in (policy.review, policy.fallback) if each]
    return tuple(dict.fromkeys([*own, *others]))


def _reviewing(policy: Policy | Refusal) -> tuple[str, ...]:
    """Return the route by which a policy leaves a decision to a person, if it has one."""
    if isinstance(policy, Refusal) or policy.review is None:
        return ()
    return (policy.review.route,)


def _no_route(policy: str, known: tuple[str, ...], route: str) -> Refusal:
    return Refusal(
        rule=f"a route must be one of the policy {policy}: {', '.join(known)}",
        value=f"'{route[:WORDS]}'",
        remedy=nearest(route, known),
    )
