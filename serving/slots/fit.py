"""Whether the parts of a slot fit: a model the code at hand, a policy the model. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from cluster.errors import Refusal, nearest

if TYPE_CHECKING:
    from features.targets import Target
    from features.views import View
    from serving.bundle import Manifest
    from serving.policy import Policy

KIND = {True: "text", False: "number"}


def of_model(said: Manifest, target: Target) -> Refusal | None:
    """Refuse a model that was made for another target, or from other features, than we compute."""
    made = said.provenance
    for what, found, ours in (
        ("of the target", made.target.get("name"), target.name),
        ("of the version of the target", made.target_version, target.version),
        ("of the views", _line(made.views), _line(target.view_versions)),
    ):
        if found != ours:
            return Refusal(
                rule=f"a model of '{target.name}' must be {what} at hand, {ours}",
                value=str(found),
                remedy=f"train it with this code: python -m jobs.train --target {target.name}",
            )
    return None


def of_policy(policy: Policy, view: View) -> Refusal | None:
    """Refuse a policy with a rule on a feature that no view of the target has, or of another kind:
    nobody would notice that it never fires.
    """
    kinds = {f.name: KIND[pa.types.is_string(f.type)] for f in view.features}
    for rule in policy.rules:
        name, wanted = rule.when.feature, KIND[isinstance(rule.when.values[0], str)]
        if name not in kinds:
            return _unlike(
                policy, rule.name, f"look at a feature, got '{name}'", nearest(name, kinds)
            )
        if kinds[name] != wanted:
            must = f"compare '{name}' with a {kinds[name]}, got a {wanted}"
            return _unlike(policy, rule.name, must, "correct its value")
    return None


def _line(views: dict[str, str]) -> str:
    return ",".join(f"{name}@{version}" for name, version in sorted(views.items()))


def _unlike(policy: Policy, rule: str, said: str, remedy: str) -> Refusal:
    must, _, value = said.partition(", got ")
    return Refusal(rule=f"the rule '{rule}' of {policy.id} must {must}", value=value, remedy=remedy)
