"""Who uses a view and its columns: targets, the rules of targets, and models."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cluster.blobs import BlobMissing
from cluster.settings import CONFIGS
from features.targets import Target, load_target
from serving import bundle, registry, rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cluster.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class UsingModel:
    """A published model."""

    id: str
    target: str
    is_live: bool
    views: Mapping[str, str]  # name -> version
    columns: frozenset[str]


class Users:
    """All users in the configuration and in the registry."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def targets(self, view: str) -> list[Target]:
        """Return the targets that have a view."""
        return [target for target in self._targets if view in target.views]

    def rules(self, view: str, column: str) -> list[str]:
        """Return the rules that name a column, as `<target>: <rule>`."""
        return [
            f"{target.name}: {rule.name}"
            for target in self.targets(view)
            for rule in rules.parse(target.rules)
            if rule.when.feature == column
        ]

    def models(self, view: str, column: str | None = None) -> list[UsingModel]:
        """Return the models that have a view, or a column of it, live ones first."""
        using = [model for model in self._models if view in model.views]
        return [model for model in using if column is None or column in model.columns]

    @cached_property
    def _targets(self) -> list[Target]:
        return [load_target(str(path)) for path in sorted((CONFIGS / "targets").glob("*.yaml"))]

    @cached_property
    def _models(self) -> list[UsingModel]:
        return sorted(self._published(), key=lambda model: (not model.is_live, model.target))

    def _published(self) -> Iterator[UsingModel]:
        entries = self._workspace.journal.entries(registry.KIND)
        for id, name in {entry.body["model"]: entry.body["ref"] for entry in entries}.items():
            try:
                said = bundle.read(self._workspace.blobs.get(id))
            except BlobMissing:
                continue
            live = self._workspace.refs.get(name)
            yield UsingModel(
                id=id,
                target=said.provenance.target.get("name", name),
                is_live=live is not None and live.target == id,
                views=said.provenance.views,
                columns=frozenset(feature.name for feature in said.features),
            )
