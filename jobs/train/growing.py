"""How the trees of a lesson are to be grown: by a search, or by a recipe where rows are too few."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cluster import canonical, runner
from jobs.train import searching
from jobs.train.learn import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.workspace import Workspace
    from jobs.console import Progress
    from jobs.train.fit import Aims
    from jobs.train.front import Best
    from jobs.train.lesson import Lesson
    from jobs.train.settings import TrainSettings


@dataclass(frozen=True, kw_only=True)
class Grown:
    """How the trees are to be grown, and how that was found."""

    recipe: Recipe
    best: Best | None = None  # of a search, if there was one
    nodes: int = 1
    runner: str = ""

    @property
    def figures(self) -> dict[str, object]:
        """The search as plain values."""
        if self.best is None:
            return {}
        return {"search": json.loads(canonical.dumps(asdict(self.best)))}

    def said(self, aims: Aims) -> list[str]:
        """Return in words where was searched, what was chosen, and from what."""
        if self.best is None:
            return []
        return [
            f"runner: {self.runner}, nodes: {self.nodes}",
            _chosen(self.best, aims),
            *_traded(self.best, aims),
        ]


def grown(
    workspace: Workspace, settings: TrainSettings, lessons: Sequence[Lesson], told: Progress
) -> list[Grown]:
    """Search the parameters of all lessons side by side, where there are rows enough."""
    wanted = [lesson for lesson in lessons if lesson.prepared.tuning.is_searched]
    rows = sum(len(lesson.prepared.data.label) for lesson in wanted)
    choice = runner.choose(settings.runner, rows * settings.trials, workspace.settings)
    found, nodes = searching.searched(workspace, settings, wanted, told=told, on=choice)
    by_lesson = dict(zip(map(id, wanted), found, strict=True))
    return [_of(lesson, by_lesson.get(id(lesson)), nodes, str(choice)) for lesson in lessons]


def _of(lesson: Lesson, best: Best | None, nodes: int, choice: str) -> Grown:
    if best is None:
        return Grown(recipe=Recipe.of_few(len(lesson.prepared.data.label)))
    recipe = Recipe(params=best.params, rounds=best.rounds)
    return Grown(recipe=recipe, best=best, nodes=nodes, runner=choice)


def _chosen(best: Best, aims: Aims) -> str:
    params = ", ".join(f"{name} {value:.3g}" for name, value in sorted(best.params.items()))
    return (
        f"trial {best.trial} is chosen among {best.complete} complete and {best.pruned} pruned: "
        f"{aims.said(best.loss)}, {best.rounds} rounds, {params}"
    )


def _traded(best: Best, aims: Aims) -> list[str]:
    if len(best.front) == 1:
        return []
    shown = ", ".join(
        f"{aims.said(each.loss)} at {each.cost:,}{' (chosen)' if each.chosen else ''}"
        for each in best.front
    )
    return [f"none better is cheaper to serve, in steps down its trees for a row: {shown}"]
