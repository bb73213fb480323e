"""The catalogue: the models of each target and the versions of each policy; which are live since
when, by whom and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cluster.errors import FunnelcastError, Refusal, nearest
from serving.card.facts import Evaluation
from serving.registry import Registry, Reign, alias, target_of
from serving.slots import policies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cluster.refs import Ref
    from cluster.workspace import Workspace
    from serving.bundle import Manifest
    from serving.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Alias:
    """Where a name points now."""

    alias: str
    version: str
    since: datetime
    actor: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """A target, and the models that answer for it."""

    target: str
    aliases: tuple[Alias, ...]


@dataclass(frozen=True, kw_only=True)
class Card:
    """The live model in short."""

    model: str
    target_version: str
    created_at: datetime
    rounds: int
    features: tuple[str, ...]
    training_snapshot: str
    views: Mapping[str, str]
    code: str
    metrics: Mapping[str, Any]  # as judged on later rows; empty where nobody could judge
    text: str


@dataclass(frozen=True, kw_only=True)
class ModelDetail:
    """A target with the history of all its aliases, and the card of the live model."""

    model: Model
    history: tuple[Reign, ...]  # oldest first
    card: Card | None


@dataclass(frozen=True, kw_only=True)
class PolicyDetail:
    """A policy with its versions."""

    name: str
    active: Alias | None
    versions: tuple[Policy, ...]  # oldest first
    history: tuple[Reign, ...]  # oldest first; `model` is the id of the policy


def models(workspace: Workspace) -> list[Model]:
    """Return every target that has an alias, by name."""
    by_target: dict[str, list[Ref]] = {}
    for ref in _registry(workspace).aliases():
        by_target.setdefault(target_of(ref.name), []).append(ref)
    return [_model(target, by_target[target]) for target in sorted(by_target)]


def model(workspace: Workspace, target: str) -> ModelDetail | Refusal:
    """Return the models of one target."""
    every = {each.target: each for each in models(workspace)}
    if target not in every:
        return _missing("a model of a target must be published", target, every)
    registry, found = _registry(workspace), every[target]
    reigns = [reign for each in found.aliases for reign in registry.history(each.alias)]
    live = next((a.version for a in found.aliases if a.alias == alias(target)), None)
    return ModelDetail(
        model=found,
        history=tuple(sorted(reigns, key=lambda reign: (reign.since, reign.alias))),
        card=_card(registry, live) if live else None,
    )


def policy(workspace: Workspace, name: str) -> PolicyDetail | Refusal:
    """Return a policy that was published, or that is declared and was not published yet."""
    published = policies.names(workspace)
    if name in published:
        return _published(workspace, name)
    declared = policies.declared()
    if name in declared:
        return PolicyDetail(name=name, active=None, versions=(declared[name],), history=())
    return _missing("a policy must be published or declared", name, {*published, *declared})


def every_policy(workspace: Workspace) -> list[PolicyDetail]:
    """Return every policy that was published, or is declared, by name."""
    names = sorted({*policies.names(workspace), *policies.declared()})
    found = (policy(workspace, name) for name in names)
    return [each for each in found if isinstance(each, PolicyDetail)]


def _published(workspace: Workspace, name: str) -> PolicyDetail:
    versions = policies.versions(workspace, name)
    ids = {version.digest: version.policy.id for version in versions}
    moves = workspace.refs.history(policies.ref_of(name))
    ends = [*(move.moved_at for move in moves[1:]), None]
    reigns = tuple(
        _reign(move, end, ids.get(move.target, move.target))
        for move, end in zip(moves, ends, strict=True)
    )
    return PolicyDetail(
        name=name,
        active=_of_reign(reigns[-1]) if reigns else None,
        versions=tuple(version.policy for version in versions),
        history=reigns,
    )


def _reign(move: Ref, until: datetime | None, id: str) -> Reign:
    return Reign(
        alias=move.name,
        model=id,
        epoch=move.epoch,
        since=move.moved_at,
        until=until,
        actor=move.actor,
        reason=move.reason,
    )


def _of_reign(reign: Reign) -> Alias:
    return Alias(
        alias=reign.alias,
        version=reign.model,
        since=reign.since,
        actor=reign.actor,
        reason=reign.reason,
    )


def _model(target: str, refs: Sequence[Ref]) -> Model:
    found = (
        Alias(alias=r.name, version=r.target, since=r.moved_at, actor=r.actor, reason=r.reason)
        for r in refs
    )
    live_first = sorted(found, key=lambda each: (each.alias != alias(target), each.alias))
    return Model(target=target, aliases=tuple(live_first))


def _card(registry: Registry, id: str) -> Card | None:
    try:
        _, said = registry.manifest(id)
    except FunnelcastError:  # gone or damaged: nothing is known of it
        return None
    made = said.provenance
    return Card(
        model=id,
        target_version=made.target_version,
        created_at=made.created_at,
        rounds=said.booster.rounds,
        features=tuple(feature.name for feature in said.features),
        training_snapshot=str(made.training_snapshot),
        views=made.views,
        code=made.code_version,
        metrics=_judged(said),
        text=made.card,
    )


def _judged(said: Manifest) -> dict[str, Any]:
    """Return what later rows said of a model and of its rivals, in short."""
    try:
        found = Evaluation.model_validate(said.provenance.metrics.get("evaluation"))
    except ValidationError:
        return {}
    return {
        "rows": found.rows,
        "positives": found.positives,
        "signal": found.signal.sentence,
        "scorers": {
            scorer: {name: value.model_dump() for name, value in metrics.items()}
            for scorer, metrics in found.scorers.items()
        },
    }


def _registry(workspace: Workspace) -> Registry:
    return Registry(workspace.blobs, workspace.refs, workspace.journal)


def _missing(rule: str, name: str, known: Mapping[str, Any] | set[str]) -> Refusal:
    shown = "".join(c if c.isprintable() else "?" for c in name[:60])
    remedy = nearest(name, known) if known else "publish one"
    return Refusal(rule=rule, value=f"'{shown}'", remedy=remedy)
