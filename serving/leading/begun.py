"""How a release begins: what answers, what is to, and whether it could."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import FunnelcastError, done
from features.targets import load_target
from features.views import register
from serving.profiles import Profile
from serving.registry import Registry
from serving.releases.plan import load_plan
from serving.releases.release import Parts, Release, begin
from serving.slots import fit, policies, releases
from serving.slots.slot import admitted

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.targets import Target
    from serving.slots.releases import Kept

PROFILE = "portable"  # what answers is the same in every profile


class ReleaseRefused(FunnelcastError):
    """A release that cannot begin, or cannot take this step."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a release is begun with."""

    target: str
    plan: str
    model: str | None  # id or alias; None: the one that answers
    policy: str | None  # name; None: the one that the service asks
    version: int | None  # of the policy; None: the active one
    reason: str


def begun(workspace: Workspace, asked: Asked, before: Kept | None) -> Release:
    """Return a release at its first step; ReleaseRefused when it may not begin."""
    target, plan = load_target(asked.target), load_plan(asked.plan)
    name = asked.policy or _policy_of(target)
    views = _views(workspace, target)
    stable = done(releases.answering(workspace.refs, target.name, name, views), ReleaseRefused)
    candidate = _candidate(workspace, target, asked, name, stable)
    for ref in releases.moved_by(target.name, name, stable, candidate):
        workspace.refs.ask(ref)  # of who may not change it, none may be released
    epoch = 0 if before is None else before.epoch
    said = [target.name, epoch, candidate.model_dump(mode="json")]
    return done(
        begin(
            id=f"r{epoch + 1}",
            target=target.name,
            policy=name,
            plan=plan,
            salt=canonical.digest(said)[:16],
            stable=stable,
            candidate=candidate,
            before=before.release if before else None,
            why=asked.reason,
            now=workspace.clock(),
        ),
        ReleaseRefused,
    )


def _policy_of(target: Target) -> str:
    """Return the policy that the service asks about a target."""
    answers = Profile.load(PROFILE).answers.values()
    found = [answer.policy for answer in answers if answer.target == target.name]
    if not found:
        raise ReleaseRefused(
            f"a target of the service must be released, got '{target.name}': name its --policy"
        )
    return found[0]


def _views(workspace: Workspace, target: Target) -> dict[str, str]:
    refs = {name: workspace.refs.get(register.PREFIX + name) for name in target.views}
    return {name: ref.target for name, ref in refs.items() if ref}


def _candidate(
    workspace: Workspace, target: Target, asked: Asked, policy: str, stable: Parts
) -> Parts:
    """Return the parts of the candidate, tried here before any service has to."""
    models = Registry(workspace.blobs, workspace.refs, workspace.journal)
    model = stable.model if asked.model is None else models.resolve(asked.model)
    if model != stable.model:
        done(admitted(workspace, target, model), ReleaseRefused)
    digest = stable.policy if asked.version is None else _version(workspace, policy, asked.version)
    if digest != stable.policy:
        rules = done(policies.read(workspace, policy, digest), ReleaseRefused)
        done(fit.of_policy(rules, target.features), ReleaseRefused)
    return stable.model_copy(update={"model": model, "policy": digest})


def _version(workspace: Workspace, name: str, version: int) -> str:
    known = {each.policy.version: each.digest for each in policies.versions(workspace, name)}
    if version not in known:
        raise ReleaseRefused(
            f"a version of '{name}' must be published, got {version}: published are"
            f" {', '.join(map(str, known)) or 'none'}"
        )
    return known[version]
