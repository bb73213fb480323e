"""Gather what the report shows: models from the registry, scores and forecasts from the tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from cluster.errors import Refusal
from features.targets import load_target
from jobs import withheld
from serving.forecast import record
from serving.forecast.evidence import GRADE_WORDS, Grade
from serving.registry import Registry, alias

if TYPE_CHECKING:
    import pandas as pd

    from cluster.access.privacy import Privacy
    from cluster.workspace import Workspace
    from features.targets import Target
    from serving.bundle import Manifest


@dataclass(frozen=True, kw_only=True)
class ModelPart:
    """One target: its live model and the newest scores under it."""

    target: Target
    model: str
    manifest: Manifest
    scores: pd.DataFrame | None  # of serving.batch, best first; None when nothing was scored

    @property
    def metrics(self) -> dict[str, Any] | None:
        """What the held-out rows said; None when there were none."""
        evaluation: dict[str, Any] | None = self.manifest.provenance.metrics.get("evaluation")
        return evaluation

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.metrics is None:
            return "Not judged: it has learnt from too few labels."
        return str(self.metrics["signal"]["sentence"])


@dataclass(frozen=True, kw_only=True)
class ForecastPart:
    """The newest forecast of a scenario."""

    scenario: str
    run: str
    rows: pd.DataFrame  # of serving.forecast.record
    facts: dict[str, Any]

    @property
    def evidence(self) -> str:
        """What the answer rests on, in words."""
        grade = self.facts.get("grade")
        return GRADE_WORDS[Grade(grade) if grade else None]

    @property
    def draws(self) -> int:
        """How many draws it has; a forecast kept by an older program names one scenario."""
        one = self.facts.get("scenario") or self.facts["comparison"]["scenarios"][0]
        return int(one["draws"])


def model_part(workspace: Workspace, name: str, shows: Privacy) -> ModelPart | Refusal:
    """Return what is known about the live model of a target, values up to a privacy class."""
    target = load_target(name)
    if workspace.refs.get(alias(target.name)) is None:
        return _missing(
            f"a model of '{target.name}'", f"python -m jobs.train --target {target.name}"
        )
    registry = Registry(workspace.blobs, workspace.refs, workspace.journal)
    model, manifest = registry.manifest(alias(target.name))
    return ModelPart(
        target=target, model=model, manifest=manifest, scores=_scores(workspace, target, shows)
    )


def forecast_part(workspace: Workspace, scenario: str) -> ForecastPart | Refusal:
    """Return the newest forecast of a scenario."""
    ref = workspace.refs.get(record.ref(scenario))
    if ref is None:
        return _missing(
            f"a forecast '{scenario}'", f"python -m jobs.simulate --scenario {scenario}"
        )
    table = workspace.tables.read(record.TABLE)
    mine = table.filter(pc.equal(table["run"], ref.target))
    _, facts = record.read(workspace.blobs.get(ref.target))
    # a scenario run again gives the same blob and appends equal rows
    rows = mine.to_pandas().drop_duplicates([*record.WORDS, "step"])
    return ForecastPart(scenario=scenario, run=ref.target, rows=rows, facts=facts)


def _scores(workspace: Workspace, target: Target, shows: Privacy) -> pd.DataFrame | None:
    if workspace.tables.head(target.scores_table) is None:
        return None
    rows = workspace.tables.read(target.scores_table).to_pandas()
    rows["reasons"] = rows["reasons"].map(json.loads)
    account = rows["account"].astype(object)
    rows["account"] = account.where(account.notna(), None)
    rows = withheld.told(rows, target, shows)
    return rows.sort_values(["probability", "entity"], ascending=[False, True])


def _missing(what: str, remedy: str) -> Refusal:
    return Refusal(rule=f"{what} must be there", value="none", remedy=remedy)
