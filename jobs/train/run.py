"""The story of a training: pin the rows, split, search, refit, calibrate, judge, publish."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster import canonical, runner, runs
from cluster.dataset import Dataset
from cluster.errors import FunnelcastError, Refusal, WrongUse
from features.targets import load_target
from jobs.console import Job, Progress, Report
from jobs.train import evaluate, fit, judge, leaks, learn, searching
from jobs.train.learn import Recipe
from jobs.train.settings import TrainSettings
from serving import bundle, registry, rules
from serving.card import facts
from serving.wording import wordings

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.targets import Target
    from jobs.train.evaluate import Json
    from jobs.train.fit import Aims, Prepared
    from jobs.train.search import Best
    from serving.model import Model


class PublicationLost(FunnelcastError):
    """Another publisher was first."""


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """What a training reads: a declared target and one snapshot of its table."""

    target: Target
    snapshot: int

    @classmethod
    def of(cls, workspace: Workspace, settings: TrainSettings) -> Pinned:
        """Pin the snapshot of the settings, else the newest; WrongUse when there is none."""
        target = load_target(settings.target)
        snapshot = settings.snapshot or workspace.tables.head(target.training_table)
        if snapshot is None:
            raise _no_rows(target, settings)
        return cls(target=target, snapshot=snapshot)


def inputs(workspace: Workspace, settings: TrainSettings) -> dict[str, str]:
    """Return the identity of the target, its view and the rows."""
    pinned = Pinned.of(workspace, settings)
    target = pinned.target
    return {
        "target": target.version,
        "view": target.features.version,
        "snapshot": str(pinned.snapshot),
    }


def run(workspace: Workspace, settings: TrainSettings, progress: Progress) -> Report:
    """Train, judge and publish a model of the target."""
    pinned = Pinned.of(workspace, settings)
    prepared = _prepared(workspace, settings, pinned)
    found = leaks.found_in(prepared, settings.seed)
    if settings.leaks == "exclude":
        prepared = leaks.left_out(prepared, leaks.leaking(found))
    grown = _grown(workspace, settings, pinned, prepared, progress)
    declared, rng = rules.parse(pinned.target.rules), np.random.default_rng(settings.seed)
    trained, calibrated = learn.learnt(prepared, declared, grown.recipe, rng)
    evaluation = judge.judged(pinned.target, prepared, trained, settings.seed)
    live = _live(workspace, pinned.target) if evaluation else None
    against = judge.against(live, prepared, trained, settings.seed) if live else None
    metrics = {**({"evaluation": evaluation} if evaluation else {}), **grown.figures}
    made_from = _provenance(workspace, pinned, prepared, trained, metrics)
    packed = bundle.pack(trained, prepared.table, made_from)
    id = _published(workspace, pinned, packed, reason=_verdict(prepared, evaluation))
    said = [
        *grown.said,
        prepared.said,
        *leaks.said(found, excluded=settings.leaks == "exclude"),
        prepared.tuning.said,
        *([_search_said(grown.best, prepared.data.aims)] if grown.best else []),
        calibrated,
        *(judge.said(evaluation) if evaluation else []),
    ]
    figures = {"evaluation": evaluation, "live": against, "leaks": [asdict(f) for f in found]}
    return Report(
        read={
            "table": pinned.target.training_table,
            "snapshot": pinned.snapshot,
            **prepared.counts,
        },
        wrote={"model": id, "alias": registry.alias(pinned.target.name)},
        decided=[*said, *judge.said_against(live, against)],
        figures={**figures, "nodes": grown.nodes, **grown.figures},
        table=evaluate.table(evaluation) if evaluation else None,
        inputs=[Dataset.table(pinned.target.training_table, pinned.snapshot)],
        outputs=[Dataset.blob(registry.alias(pinned.target.name), id)],
    )


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Is the live model still the one this run published?"""
    live = workspace.refs.get(report["wrote"]["alias"])
    return live is not None and live.target == report["wrote"]["model"]


def _prepared(workspace: Workspace, settings: TrainSettings, pinned: Pinned) -> Prepared:
    target = pinned.target
    table = workspace.tables.read(target.training_table, pinned.snapshot)
    if not len(table):
        raise _no_rows(target, settings)
    prepared = fit.prepare(table, target, test_share=settings.test_share, purge=settings.purge)
    worded = prepared.signature.worded(wordings(target.features))
    return replace(prepared, signature=worded)


@dataclass(frozen=True, kw_only=True)
class Grown:
    """How the trees are to be grown, and how that was found."""

    recipe: Recipe
    best: Best | None = None  # of a search, if there was one
    nodes: int = 1
    said: tuple[str, ...] = ()

    @property
    def figures(self) -> dict[str, object]:
        """The search as plain values."""
        if self.best is None:
            return {}
        return {"search": json.loads(canonical.dumps(asdict(self.best)))}


def _grown(
    workspace: Workspace,
    settings: TrainSettings,
    pinned: Pinned,
    prepared: Prepared,
    told: Progress,
) -> Grown:
    data = prepared.data
    choice = runner.choose(settings.runner, len(data.label) * settings.trials, workspace.settings)
    if not prepared.tuning.is_searched:
        return Grown(recipe=Recipe.of_few(len(data.label)))
    wanted = [searching.Wanted(pinned=pinned, data=data)]
    (best,), nodes = searching.searched(workspace, settings, wanted, told=told, on=choice)
    recipe = Recipe(params=best.params, rounds=best.rounds)
    return Grown(recipe=recipe, best=best, nodes=nodes, said=(f"runner: {choice}, nodes: {nodes}",))


def _live(workspace: Workspace, target: Target) -> judge.Live | None:
    """Return the model that answers now, unless there is none or it cannot be loaded."""
    models = registry.Registry(workspace.blobs, workspace.refs, workspace.journal)
    try:
        found = models.stable(target.name)
        if isinstance(found, Refusal):
            return None
        metrics = models.manifest(found[0])[1].provenance.metrics
    except FunnelcastError:
        return None
    if "learnt_until" not in metrics:
        return None
    until = metrics["learnt_until"]
    learnt_until = datetime.fromisoformat(until) if until else None
    return judge.Live(model=found[1], learnt_until=learnt_until)


def _published(workspace: Workspace, pinned: Pinned, packed: bundle.Bundle, *, reason: str) -> str:
    published = registry.Registry(workspace.blobs, workspace.refs, workspace.journal).publish(
        packed, pinned.target.name, actor="jobs.train", reason=reason, now=workspace.clock()
    )
    if isinstance(published, Refusal):
        raise PublicationLost(str(published))
    return published


def _provenance(
    workspace: Workspace, pinned: Pinned, prepared: Prepared, trained: Model, metrics: Json
) -> bundle.Provenance:
    target, until = pinned.target, prepared.learnt_until
    rows = prepared.test if prepared.is_judged else prepared.table
    return bundle.Provenance(
        target=target.model_dump(mode="json"),
        target_version=target.version,
        training_table=target.training_table,
        training_snapshot=str(pinned.snapshot),
        views=target.view_versions,
        code_version=runs.code_version("jobs/train"),
        created_at=workspace.clock(),
        metrics={
            **metrics,
            **prepared.counts,
            "importance": facts.contributions(trained, trained.encode(rows)),
            "learnt_until": until and until.isoformat(),
        },
        card=_card(target, prepared, metrics.get("evaluation")),
    )


def _card(target: Target, prepared: Prepared, evaluation: Json | None) -> str:
    lines = [
        f"# {target.name}",
        target.description,
        f"Answers for one {target.entity}: the probability of the label within "
        f"{target.horizon_days:g} days. Not meant for other entities or moments.",
        f"Learnt from {len(prepared.data.label):,} rows.",
    ]
    if evaluation is None:
        return "\n\n".join([*lines, _verdict(prepared, None), prepared.tuning.said])
    judged = f"Judged on {evaluation['rows']:,} later ones of {evaluation['clusters']:,} accounts."
    table = evaluate.table(evaluation).to_string(index=False)
    return "\n\n".join([*lines, judged, *evaluate.said(evaluation), table])


def _verdict(prepared: Prepared, evaluation: Json | None) -> str:
    return evaluation["signal"]["sentence"] if evaluation else prepared.said


def _no_rows(target: Target, settings: TrainSettings) -> WrongUse:
    return WrongUse(
        f"'{target.training_table}' must have rows, got none: "
        f"python -m jobs.materialize --target {settings.target}"
    )


def _search_said(best: Best, aims: Aims) -> str:
    params = ", ".join(f"{name} {value:.3g}" for name, value in sorted(best.params.items()))
    return (
        f"trial {best.trial} is the best of {best.complete} complete and {best.pruned} pruned: "
        f"{aims.said(best.loss)}, {best.rounds} rounds, {params}"
    )


JOB = Job(
    verb="train",
    summary="Search, fit, calibrate, judge and publish a model of a target.",
    settings=TrainSettings,
    inputs=inputs,
    run=run,
    current=current,
)
