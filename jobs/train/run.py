"""The story of a training: pin the rows, split, search, refit, calibrate, judge, publish."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import optuna

from cluster import canonical, runner, runs, session
from cluster.dataset import Dataset
from cluster.errors import FunnelcastError, Refusal, WrongUse
from features.targets import load_target
from jobs.console import Job, Progress, Report
from jobs.train import calibrate, evaluate, fit, judge, leaks, pool, search
from jobs.train.evaluator import Evaluator
from jobs.train.settings import TrainSettings
from serving import bundle, model, registry
from serving.wording import wordings

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.runner import Choice
    from cluster.workspace import Workspace
    from features.targets import Target
    from jobs.train.evaluate import Json
    from jobs.train.fit import Aims, Data, Prepared
    from jobs.train.search import Best


class TrainingRefused(FunnelcastError):
    """The rows are too few to learn from, or to judge what was learnt."""


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
            raise WrongUse(
                f"'{target.training_table}' must have rows, got none: "
                f"python -m jobs.materialize --target {settings.target}"
            )
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
    work = len(prepared.data.label) * settings.trials
    choice = runner.choose(settings.runner, work, workspace.settings)
    best, nodes = _searched(
        workspace, settings, pinned, data=prepared.data, told=progress, on=choice
    )
    trained, calibrated = _trained(prepared, best)
    evaluation = judge.judged(pinned.target, prepared, trained, settings.seed)
    live = _live(workspace, pinned.target)
    against = judge.against(live, prepared, trained, settings.seed) if live else None
    made_from = _provenance(workspace, pinned, prepared, {"evaluation": evaluation, **_found(best)})
    packed = bundle.pack(trained, prepared.train, made_from)
    said = [
        f"runner: {choice}, nodes: {nodes}",
        prepared.said,
        *leaks.said(found, excluded=settings.leaks == "exclude"),
        prepared.tuning.said,
        _search_said(best, prepared.data.aims),
        calibrated,
    ]
    id = _published(workspace, pinned, packed, reason=evaluation["signal"]["sentence"])
    figures = {"evaluation": evaluation, "live": against, "leaks": [asdict(f) for f in found]}
    return Report(
        read={
            "table": pinned.target.training_table,
            "snapshot": pinned.snapshot,
            **prepared.counts,
        },
        wrote={"model": id, "alias": registry.alias(pinned.target.name)},
        decided=[*said, *judge.said(evaluation), *judge.said_against(live, against)],
        figures={**figures, "nodes": nodes, **_found(best)},
        table=evaluate.table(evaluation),
        inputs=[Dataset.table(pinned.target.training_table, pinned.snapshot)],
        outputs=[Dataset.blob(registry.alias(pinned.target.name), id)],
    )


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Is the live model still the one this run published?"""
    live = workspace.refs.get(report["wrote"]["alias"])
    return live is not None and live.target == report["wrote"]["model"]


def _prepared(workspace: Workspace, settings: TrainSettings, pinned: Pinned) -> Prepared:
    target = pinned.target
    prepared = fit.prepare(
        workspace.tables.read(target.training_table, pinned.snapshot),
        target,
        test_share=settings.test_share,
        purge=settings.purge,
    )
    if isinstance(prepared, Refusal):
        raise TrainingRefused(str(prepared))
    worded = prepared.signature.worded(wordings(target.features))
    return replace(prepared, signature=worded)


def _searched(
    workspace: Workspace,
    settings: TrainSettings,
    pinned: Pinned,
    *,
    data: Data,
    told: Progress,
    on: Choice,
) -> tuple[Best, int]:
    if on.runner == "ray":
        session.connect(workspace.settings)
    pooled = pool.ray_pool if on.runner == "ray" else pool.inline_pool
    workers = min(session.cores(workspace.settings), search.WINDOW, settings.trials)
    budget = search.Budget(
        trials=settings.trials,
        folds=len(data.folds),
        seed=settings.seed,
        is_over=_timer(settings.minutes),
    )
    name = _study(settings, pinned)
    path = workspace.settings.home / "studies" / f"{name}.log"
    with (
        search.opened(path, name) as study,
        pooled(Evaluator, data, workers) as evaluators,
    ):
        best = search.search(
            study, evaluators, budget, lambda done: told(done, budget.trials, "trials")
        )
        return best, evaluators.nodes


def _study(settings: TrainSettings, pinned: Pinned) -> str:
    """Return the identity of a search: all that its trials depend on, not how many there are."""
    return canonical.digest(
        {
            "target": pinned.target.version,
            "view": pinned.target.features.version,
            "snapshot": pinned.snapshot,
            "seed": settings.seed,
            "purge": settings.purge,
            "test_share": settings.test_share,
            "leaks": settings.leaks,
            "code": runs.code_version("jobs/train"),
            "libraries": {**bundle.libraries(), "optuna": optuna.__version__},
        }
    )


def _timer(minutes: float | None) -> Callable[[], bool]:
    if minutes is None:
        return lambda: False
    end = time.monotonic() + minutes * 60
    return lambda: time.monotonic() >= end


def _trained(prepared: Prepared, best: Best) -> tuple[model.Model, str]:
    margin, outcome = fit.out_of_fold(prepared.data, best.params, best.rounds)
    calibrator, said = calibrate.calibrator(margin, outcome)
    booster = fit.refit(prepared.data, best.params, best.rounds)
    trained = model.Model(booster=booster, signature=prepared.signature, calibrator=calibrator)
    return trained, said


def _live(workspace: Workspace, target: Target) -> judge.Live | None:
    """Return the model that answers now, unless there is none or it cannot be loaded."""
    models = registry.Registry(workspace.blobs, workspace.refs, workspace.journal)
    try:
        found = models.stable(target.name)
        if isinstance(found, Refusal):
            return None
        until = models.manifest(found[0])[1].provenance.metrics.get("learnt_until")
    except FunnelcastError:
        return None
    return judge.Live(model=found[1], learnt_until=datetime.fromisoformat(until)) if until else None


def _published(workspace: Workspace, pinned: Pinned, packed: bundle.Bundle, *, reason: str) -> str:
    published = registry.Registry(workspace.blobs, workspace.refs, workspace.journal).publish(
        packed, pinned.target.name, actor="jobs.train", reason=reason, now=workspace.clock()
    )
    if isinstance(published, Refusal):
        raise PublicationLost(str(published))
    return published


def _provenance(
    workspace: Workspace, pinned: Pinned, prepared: Prepared, metrics: Json
) -> bundle.Provenance:
    target = pinned.target
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
            "learnt_until": prepared.learnt_until.isoformat(),
        },
        card=_card(target, prepared, metrics["evaluation"]),
    )


def _card(target: Target, prepared: Prepared, evaluation: Json) -> str:
    lines = [
        f"# {target.name}",
        target.description,
        f"Answers for one {target.entity}: the probability of the label within "
        f"{target.horizon_days:g} days. Not meant for other entities or moments.",
        f"Learnt from {len(prepared.data.label):,} rows, judged on {evaluation['rows']:,} later "
        f"ones of {evaluation['clusters']:,} accounts.",
        *evaluate.said(evaluation),
        evaluate.table(evaluation).to_string(index=False),
    ]
    return "\n\n".join(lines)


def _found(best: Best) -> dict[str, object]:
    return {"search": asdict(best)}


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
