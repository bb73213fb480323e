"""Runs on record and the reports they wrote: what they read and wrote is in the run's report."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from features.lineage.graph import Key, Node, kept, matching

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cluster.runs import Run, Runs

OF_BLOB = {"models": "model", "forecasts": "forecast", "reports": "report"}


class Past:
    """Runs of jobs, and reports."""

    kinds = ("run", "report")

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def find(self, id: str) -> list[Node]:
        """Return runs by their key and reports by their blob."""
        return matching(self._nodes.values(), id)

    def nodes(self, keys: Sequence[Key]) -> list[Node]:
        """Return runs and reports."""
        return kept(self._one, keys)

    def _one(self, key: Key) -> Node | None:
        return self._nodes.get(key)

    def ids(self) -> Iterator[str]:
        """Yield every run and report."""
        return (key.id for key in self._nodes)

    def up(self, node: Node) -> Iterator[Key]:
        """Yield what a run read; of a report what the run read that wrote it."""
        for run in self._all:
            if node.key == Key("run", run.key) or node.key in _keys(run, "outputs", "report"):
                yield from _keys(run, "inputs")

    def down(self, node: Node) -> Iterator[Key]:
        """Yield what a run wrote; the reports that a run wrote which read this thing."""
        for run in self._all:
            if node.key == Key("run", run.key):
                yield from _keys(run, "outputs")
            elif node.key in _keys(run, "inputs"):
                yield from _keys(run, "outputs", "report")

    @cached_property
    def _all(self) -> list[Run]:
        return self._runs.all()

    @cached_property
    def _nodes(self) -> dict[Key, Node]:
        nodes = [_run_node(run) for run in self._all]
        for run in self._all:
            for key in _keys(run, "outputs", "report"):
                what = f"page of run {run.key[:12]} of jobs.{run.job}"
                nodes.append(Node(key=key, what=what, at=run.finished))
        return {node.key: node for node in nodes}


def _run_node(run: Run) -> Node:
    return Node(key=Key("run", run.key), what=f"jobs.{run.job}: {run.status}", at=run.started)


def _keys(run: Run, direction: str, only: str | None = None) -> list[Key]:
    report: dict[str, Any] = run.report or {}
    keys = [_key(dataset) for dataset in report.get(direction) or ()]
    return [key for key in keys if only is None or key.kind == only]


def _key(dataset: dict[str, Any]) -> Key:
    if dataset["kind"] == "table":
        return Key("snapshot", f"{dataset['name']}@{dataset['version']}")
    if dataset["kind"] == "file":
        return Key("file", dataset["version"])
    return Key(OF_BLOB.get(dataset["name"].partition("/")[0], "blob"), dataset["version"])
