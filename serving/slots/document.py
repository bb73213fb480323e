"""A policy as bytes: canonical JSON within bounds, read without believing it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import FunnelcastError
from cluster.settings import validated
from serving.policy import Policy

if TYPE_CHECKING:
    from cluster.blobs import Blobs

MAX_BYTES = 2**20
MAX_RULES = 500
MAX_TEXT = 500  # letters of a name, a route or a reason


class PolicyBroken(FunnelcastError):
    """The bytes are not a policy that was published."""


def read(blobs: Blobs, digest: str) -> Policy:
    """Return the policy in a blob; PolicyBroken, BlobMissing, BlobDamaged or WrongUse otherwise."""
    size = blobs.path_of(digest).stat().st_size
    if size > MAX_BYTES:
        raise _broken(f"have {MAX_BYTES:,} bytes at most", f"{size:,}")
    return parse(blobs.get(digest))


def parse(data: bytes) -> Policy:
    """Return the policy in canonical JSON; PolicyBroken or WrongUse if there is none."""
    try:
        said = json.loads(data)
        is_plain = isinstance(said, dict) and canonical.dumps(said) == data
    except (ValueError, RecursionError):
        is_plain = False
    if not is_plain:
        raise _broken("be canonical JSON", repr(data[:40]))
    policy = validated(Policy, said, where="a policy")
    must_be_plain(policy)
    return policy


def must_be_plain(policy: Policy) -> None:
    """PolicyBroken for more rules than anybody reads, and for texts that are no short lines."""
    if len(policy.rules) + len(policy.routes) > MAX_RULES:
        raise _broken(f"have {MAX_RULES} rules and routes at most", f"{len(policy.rules):,}")
    others = [each for each in (policy.review, policy.fallback) if each is not None]
    told = [*policy.rules, *policy.routes, *others]
    texts = [text for each in told for text in (each.route, each.reason)]
    for text in (*texts, *(rule.name for rule in policy.rules)):
        if len(text) > MAX_TEXT or not text.isprintable():
            raise _broken("have short and printable texts", repr(text[:40]))


def _broken(rule: str, found: str) -> PolicyBroken:
    return PolicyBroken(f"a policy must {rule}, got {found}: publish it again")
