"""A small company that is scored again and again: what the tests of scores have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from cluster.settings import CONFIGS, ROOT
from features import engine, ingest, log
from features.contracts import load_contracts
from features.plan import Plan
from features.sources.world import WorldConfig, generate
from features.targets import Target, load_target
from features.views import register, view
from jobs.console import perform
from jobs.score import run as scoring
from jobs.train import fit
from jobs.train.space import FIRST
from serving import bundle, model
from serving.calibrator import Bend, Calibrator, Knot
from serving.policy import load_policy
from serving.registry import Registry
from tests.serving import hostile

if TYPE_CHECKING:
    from cluster.workspace import Workspace

NAME = "lead_qualification"
THEN = datetime(2025, 7, 14, tzinfo=UTC)
NOW = THEN + timedelta(days=14)
BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
VIEWS = ("lead_engagement", "lead_cadence")
PLAIN = Calibrator(slope=0.8, intercept=-0.5, band=tuple(
    Knot(probability=p, low=p * 0.7, high=p * 0.7 + 0.3) for p in (0.0, 0.25, 0.5, 0.75, 1.0)
))  # fmt: skip
BENT = Calibrator(
    slope=0.9,
    intercept=-0.3,
    per_point=0.02,
    curve=(Bend(score=-3.0, logit=-2.5), Bend(score=0.0, logit=-0.1), Bend(score=4.0, logit=3.0)),
)


@dataclass(frozen=True)
class Company:
    """A workspace, and the files of a target and a policy that may change."""

    workspace: Workspace
    folder: Path
    options: dict[str, Any] = field(default_factory=lambda: {"runner": "inline"})

    @property
    def target(self) -> Target:
        """The target as its file says now."""
        return load_target(str(self.folder / "target.yaml"))

    def declare(self, **changes: Any) -> None:
        """Write the target's file: lead_qualification with changes."""
        said = yaml.safe_load((CONFIGS / "targets" / f"{NAME}.yaml").read_text())
        said |= {"views": ["lead_engagement"], "segments": ["origin"]} | changes
        (self.folder / "target.yaml").write_text(yaml.safe_dump(said))

    def route(self, **changes: Any) -> None:
        """Write the policy's file: lead_routing with changes."""
        said = load_policy("lead_routing").model_dump(mode="json") | {"review": None} | changes
        (self.folder / "policy.yaml").write_text(yaml.safe_dump(said))

    def learn(self, candidates: pa.Table) -> None:
        """Ingest events."""
        ingest.ingest(self.workspace, load_contracts(CONFIGS / "contracts"), candidates)

    def append(self, candidates: pa.Table) -> None:
        """Put events into the log, which has none of them yet, without looking at them."""
        log.create(self.workspace.tables, self.workspace.settings.buckets)
        self.workspace.tables.append(log.TABLE, log.identified(candidates))

    def look(self, as_of: datetime) -> pa.Table:
        """Materialize the features of all open leads; returns them."""
        register.keep(self.workspace, [view(n) for n in self.target.views], "test", "rows")
        plan = Plan(
            target=self.target,
            purpose="scoring",
            as_of=as_of,
            snapshot=log.pinned(self.workspace.tables),
        )
        made = engine.materialize(self.workspace, plan, "inline", lambda *_: None)
        return self.workspace.tables.read(made.table, made.snapshot)

    def train(self, rows: pa.Table, calibrator: Calibrator = PLAIN, seed: int = 1) -> None:
        """Publish a model of invented labels."""
        made = trained(rows.select(self.target.features.columns), calibrator, seed)
        rules = [r for r in scoring_rules(self.target) if r.when.feature in rows.column_names]
        made = model.Model(
            booster=made.booster,
            signature=made.signature,
            calibrator=calibrator,
            rules=tuple(rules),
        )
        said = hostile.provenance(
            target=self.target.model_dump(mode="json"),
            target_version=self.target.version,
            views=self.target.view_versions,
        )
        models = Registry(self.workspace.blobs, self.workspace.refs, self.workspace.journal)
        found = models.publish(
            bundle.pack(made, rows, said),
            NAME,
            actor="test",
            reason="test",
            now=self.workspace.clock(),
        )
        assert isinstance(found, str)

    def settings(self, **options: Any) -> scoring.ScoreSettings:
        """Return the settings of a scoring."""
        files = {name: str(self.folder / f"{name}.yaml") for name in ("target", "policy")}
        return scoring.ScoreSettings(**(files | self.options | options))

    def score(self, **options: Any) -> dict[str, Any]:
        """Score all open leads; returns the report."""
        done = perform(scoring.JOB, self.settings(**options), self.workspace, lambda *_: None)
        return done.report | {"unchanged": done.unchanged}


def scoring_rules(target: Target) -> Any:
    """Return the rules of a target."""
    from serving import rules

    return rules.parse(target.rules)


def trained(rows: pa.Table, calibrator: Calibrator, seed: int) -> model.Model:
    """Return a model that follows a few features, told apart by its seed."""
    rng = np.random.default_rng(seed)
    signature = fit.signature(rows, {name: name for name in rows.column_names})
    matrix = signature.encode(rows)
    follows = np.nan_to_num(matrix) @ rng.normal(size=matrix.shape[1])
    label = (follows + rng.normal(size=len(matrix)) > np.median(follows)).astype(np.float32)
    types = tuple(model.feature_types(signature))
    data = fit.Data(matrix=matrix, label=label, types=types, folds=())
    booster = fit.refit(data, FIRST | {"min_child_weight": 0.5, "learning_rate": 0.3}, 12)
    return model.Model(booster=booster, signature=signature, calibrator=calibrator)


@cache
def world() -> pa.Table:
    """Return all that ever happens; some touches of the last month before THEN are known late."""
    events = generate(WorldConfig(seed=3, scale=0.06, weeks=32, faults=0.0)).events
    times, known = (log.microseconds(events[name]) for name in ("event_time", "known_at"))
    end = round(THEN.timestamp() * 1e6)
    is_touch = pc.equal(events["kind"], "touch").to_numpy()
    recent = is_touch & (times < end) & (times > end - 30 * 86_400_000_000)
    late = recent & (np.arange(len(times)) % 3 == 0)
    moved = np.where(late, end + 86_400_000_000, known)
    place = events.schema.get_field_index("known_at")
    return events.set_column(place, "known_at", pa.array(moved).cast(log.MICROSECONDS))


def known(by: datetime, after: datetime = BEGIN) -> pa.Table:
    """Return the events that are known by a moment, and were not before."""
    events = world()
    moments = events["known_at"].to_numpy()
    keep = (moments <= np.datetime64(by.replace(tzinfo=None))) & (
        moments > np.datetime64(after.replace(tzinfo=None))
    )
    return events.filter(pa.array(keep))


def company(workspace: Workspace, folder: Path) -> Company:
    """Return a company of which nothing is known yet."""
    made = Company(workspace=workspace, folder=folder)
    made.declare()
    made.route()
    return made


__all__ = ["BENT", "NAME", "NOW", "PLAIN", "ROOT", "THEN", "VIEWS", "Company", "company", "known"]
