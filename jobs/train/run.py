"""The story of a training: pin the rows, split, search, refit, calibrate, judge, publish.

Several targets are searched side by side on one pool, then learnt one after the other.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cluster.access.permissions import Permission
from cluster.dataset import Dataset
from features import registered
from jobs.console import Job, Progress, Report
from jobs.train import evaluate, growing, judge, leaks, learn, lesson, publication
from jobs.train.lesson import Lesson, Pinned
from jobs.train.settings import TrainSettings
from serving import bundle, registry, rules

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from jobs.train.growing import Grown


def inputs(workspace: Workspace, settings: TrainSettings) -> dict[str, str]:
    """Return the identity of the targets, their views and rows."""
    pinned = Pinned.each(workspace, settings)
    if len(pinned) == 1:
        return pinned[0].identity
    return {
        f"{each.target.name}.{name}": value
        for each in pinned
        for name, value in each.identity.items()
    }


def run(workspace: Workspace, settings: TrainSettings, progress: Progress) -> Report:
    """Train, judge and publish a model of each target."""
    pinned = Pinned.each(workspace, settings)
    for each in pinned:
        registered.keep(workspace, each.target, "jobs.train", each.target.training_table)
    lessons = [lesson.read(workspace, settings, each) for each in pinned]
    grown = growing.grown(workspace, settings, lessons, progress)
    reports = {
        each.target.name: _learnt(workspace, settings, each, how)
        for each, how in zip(lessons, grown, strict=True)
    }
    return _together(reports) if len(reports) > 1 else next(iter(reports.values()))


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Are the live models still those that this run published?"""
    wrote = report["wrote"]
    models = wrote.get("models", {wrote.get("alias"): wrote.get("model")})
    live = {alias: workspace.refs.get(alias) for alias in models}
    return all(ref is not None and ref.target == models[alias] for alias, ref in live.items())


def _learnt(workspace: Workspace, settings: TrainSettings, of: Lesson, grown: Grown) -> Report:
    target, prepared = of.target, of.prepared
    declared, rng = rules.parse(target.rules), np.random.default_rng(settings.seed)
    trained, calibrated = learn.learnt(prepared, declared, grown.recipe, rng)
    evaluation = judge.judged(target, prepared, trained, settings.seed)
    live = publication.live(workspace, target) if evaluation else None
    against = judge.against(live, prepared, trained, settings.seed) if live else None
    metrics = {**({"evaluation": evaluation} if evaluation else {}), **grown.figures}
    made_from = publication.provenance(workspace, of, trained, metrics)
    packed = bundle.pack(trained, prepared.table, made_from)
    reason = publication.verdict(prepared, evaluation)
    id = publication.published(workspace, target, packed, reason=reason)
    said = [
        prepared.said,
        *leaks.said(of.found, excluded=settings.leaks == "exclude"),
        prepared.tuning.said,
        *grown.said(prepared.data.aims),
        calibrated,
        *(judge.said(evaluation) if evaluation else []),
        *judge.said_against(live, against),
    ]
    figures = {"evaluation": evaluation, "live": against, "leaks": [asdict(f) for f in of.found]}
    alias, table, snapshot = registry.alias(target.name), target.training_table, of.pinned.snapshot
    return Report(
        read={"table": table, "snapshot": snapshot, **prepared.counts},
        wrote={"model": id, "alias": alias},
        decided=said,
        figures={**figures, "nodes": grown.nodes, **grown.figures},
        table=evaluate.table(evaluation) if evaluation else None,
        inputs=[Dataset.table(table, snapshot)],
        outputs=[Dataset.blob(alias, id)],
    )


def _together(reports: dict[str, Report]) -> Report:
    """Return the reports of several targets as one."""
    each = reports.values()
    tables = {name: one.table for name, one in reports.items() if one.table is not None}
    return Report(
        read={name: one.read for name, one in reports.items()},
        wrote={"models": {str(one.wrote["alias"]): one.wrote["model"] for one in each}},
        decided=[f"{name}: {line}" for name, one in reports.items() for line in one.decided],
        figures={name: one.figures for name, one in reports.items()},
        table=pd.concat(tables, names=["target"]).reset_index("target") if tables else None,
        inputs=[dataset for one in each for dataset in one.inputs],
        outputs=[dataset for one in each for dataset in one.outputs],
    )


JOB = Job(
    verb="train",
    summary="Search, fit, calibrate, judge and publish models of targets.",
    settings=TrainSettings,
    needs=Permission.MODELS_TRAIN,
    inputs=inputs,
    run=run,
    current=current,
)
