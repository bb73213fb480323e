"""Targets by name: those that are declared, and those of them that have scores."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cluster.settings import CONFIGS
from features.targets import load_target

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.targets import Target


def declared() -> list[str]:
    """Return the names of all targets in configs/targets."""
    return sorted(path.stem for path in (CONFIGS / "targets").glob("*.yaml"))


class Targets:
    """The declared targets, read once. Safe to share between threads."""

    def get(self, name: str) -> Target:
        """Return a declared target."""
        return self._all[name]

    def scored(self, workspace: Workspace) -> list[str]:
        """Return the names of those that were ever scored."""
        tables = set(workspace.tables.names())
        return [name for name, each in self._all.items() if each.scores_table in tables]

    @cached_property
    def _all(self) -> dict[str, Target]:
        return {name: load_target(name) for name in declared()}
