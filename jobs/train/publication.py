"""The publication: what is said of a model when it goes to the registry, and what is live there."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cluster import runs
from cluster.errors import FunnelcastError, Refusal, done
from jobs.train import evaluate, judge
from serving import bundle, registry
from serving.card import facts

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.targets import Target
    from jobs.train.evaluate import Json
    from jobs.train.fit import Prepared
    from jobs.train.lesson import Lesson
    from serving.model import Model


class PublicationLost(FunnelcastError):
    """Another publisher was first."""


def live(workspace: Workspace, target: Target) -> judge.Live | None:
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


def published(workspace: Workspace, target: Target, packed: bundle.Bundle, *, reason: str) -> str:
    published = registry.Registry(workspace.blobs, workspace.refs, workspace.journal).publish(
        packed, target.name, actor="jobs.train", reason=reason, now=workspace.clock()
    )
    return done(published, PublicationLost)


def provenance(
    workspace: Workspace, lesson: Lesson, trained: Model, metrics: Json
) -> bundle.Provenance:
    """Return what the model of a lesson was made from, and what was found about it."""
    target, prepared = lesson.target, lesson.prepared
    until = prepared.learnt_until
    rows = prepared.test if prepared.is_judged else prepared.table
    return bundle.Provenance(
        target=target.model_dump(mode="json"),
        target_version=target.version,
        training_table=target.training_table,
        training_snapshot=str(lesson.pinned.snapshot),
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
        return "\n\n".join([*lines, verdict(prepared, None), prepared.tuning.said])
    judged = f"Judged on {evaluation['rows']:,} later ones of {evaluation['clusters']:,} accounts."
    table = evaluate.table(evaluation).to_string(index=False)
    return "\n\n".join([*lines, judged, *evaluate.said(evaluation), table])


def verdict(prepared: Prepared, evaluation: Json | None) -> str:
    return evaluation["signal"]["sentence"] if evaluation else prepared.said
