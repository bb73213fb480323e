"""The story of a pipeline: each step a job, done unless its inputs are unchanged."""

from __future__ import annotations

import dataclasses
import importlib
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from cluster import canonical
from cluster.access.acting import Said
from cluster.errors import WrongUse, nearest
from cluster.settings import Frozen, load, load_settings, named
from cluster.workspace import Workspace
from jobs import console, show
from jobs.announce import announced

if TYPE_CHECKING:
    from jobs.console import Done, Job

NEEDS = None  # each step asks for itself
PARTS = ("train.past",)  # jobs within a job that a step may name


class Step(Frozen):
    """One job and its options."""

    job: str
    options: dict[str, str | int | float | bool | None] = {}


class Pipeline(Frozen):
    """Steps in order."""

    name: str
    description: str = ""
    steps: tuple[Step, ...] = Field(min_length=1)


def main(
    pipeline: Annotated[str, typer.Option(help="Name in configs/pipelines, or a file.")],
    actor: Annotated[str | None, typer.Option(help=console.SAID["actor"])] = None,
    reason: Annotated[str | None, typer.Option(help=console.SAID["reason"])] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Run the steps of a pipeline in order; steps whose inputs are unchanged are passed over."""
    with console.guarded(json), Workspace.open(load_settings(os.environ)) as workspace:
        plan = load(Pipeline, named("pipelines", pipeline))
        said = Said.of(os.environ, actor=actor, reason=reason)
        began = time.monotonic()
        for verb, done in steps(plan, workspace, said):
            show.outcome(verb, done.report, unchanged=done.unchanged, as_json=json)
        took = time.monotonic() - began
        show.line(f"{plan.name}: {len(plan.steps)} steps in {took:.0f} s", as_json=json)


def steps(
    plan: Pipeline, workspace: Workspace, said: Said | None = None
) -> Iterator[tuple[str, Done]]:
    """Run each step and yield its verb and outcome; wrong names are refused at once."""
    resolved = list(_resolved(plan))
    key = canonical.digest(plan.model_dump(mode="json"))
    with announced(workspace, f"pipeline.{plan.name}", key) as told:
        for job, settings in resolved:
            tell = show.progress(job.verb)
            done = console.perform(job, settings, workspace, tell, parent=told.run, said=said)
            yield job.verb, done
        told.done()


def _resolved(plan: Pipeline) -> Iterator[tuple[Job[Any], Any]]:
    verbs = [*console.verbs(), *PARTS]
    for step in plan.steps:
        if step.job not in verbs:
            hint = nearest(step.job, verbs)
            raise WrongUse(f"a step must name a job, got '{step.job}': {hint}")
        job: Job[Any] = importlib.import_module(f"jobs.{step.job}.run").JOB
        known = [field.name for field in dataclasses.fields(job.settings)]
        for option in step.options:
            if option not in known:
                raise WrongUse(f"{step.job} has no option '{option}': {nearest(option, known)}")
        yield job, job.settings(**step.options)
