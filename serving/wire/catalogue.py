"""The catalogue: which models and policies there are, which are live, since when and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from serving.wire.base import Answered


class ReignOut(Answered):
    """How long a name pointed at a version, who moved it there, and why."""

    alias: str
    version: str
    epoch: int = Field(description="1 for the first move of the name.")
    since: datetime
    until: datetime | None = Field(description="Null: it still does.")
    actor: str
    reason: str


class AliasOut(Answered):
    """Where a name points now."""

    alias: str
    version: str
    since: datetime
    actor: str
    reason: str


class ModelOut(Answered):
    """A target, and the models that answer for it."""

    target: str
    aliases: list[AliasOut] = Field(description="`stable` is the one that answers.")


class ModelsOut(Answered):
    """Every target for which a model was ever published."""

    models: list[ModelOut]


class CardOut(Answered):
    """The live model in short; all of it is `python -m jobs.models card`."""

    model: str
    target_version: str
    created_at: datetime
    rounds: int = Field(description="Trees.")
    features: list[str]
    training_snapshot: str
    views: dict[str, str] = Field(description="Versions by name.")
    code: str
    metrics: dict[str, Any] = Field(description="As judged on later rows.")
    text: str


class ModelDetailOut(ModelOut):
    """A target with the history of its models and the card of the live one."""

    history: list[ReignOut] = Field(description="Oldest first.")
    card: CardOut | None = Field(description="Null when no model is live.")


class PolicyOut(Answered):
    """A policy, and which of its versions is active."""

    name: str
    active: AliasOut | None = Field(description="Null when none is.")
    versions: int


class PoliciesOut(Answered):
    """Every policy."""

    policies: list[PolicyOut]


class PolicyVersionOut(Answered):
    """One version of a policy."""

    id: str = Field(description="name@version-digest.")
    version: int
    document: dict[str, Any] = Field(description="The rules themselves.")


class PolicyDetailOut(Answered):
    """A policy with all its versions, and which was active when."""

    name: str
    active: AliasOut | None
    versions: list[PolicyVersionOut] = Field(description="Oldest first.")
    history: list[ReignOut] = Field(description="Oldest first.")


class ReadyOut(Answered):
    """What answers."""

    status: str
    models: dict[str, Any] = Field(description="The model's id by kind of entity.")
