"""How fast accounts come and how often the outcome does, from the log: what an experiment is
expected to take before it begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import Refusal
from features import compute, log, spine
from serving.releases import experiments

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.targets import Target
    from serving.releases.experiments import Duration
    from serving.releases.plan import Experiment, Plan

DAYS = 90  # that are looked at, before the last horizon that is over
SEED = 7  # equal questions have equal answers


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What the log says of a target."""

    accounts_per_day: float  # new ones, of which a row would be decided about
    rate: float  # of them with the outcome


def of(workspace: Workspace, target: Target) -> Pace | Refusal:
    """Return the pace of the newest days whose outcomes are known."""
    snapshot = log.pinned(workspace.tables)
    until = log.latest(workspace.tables, snapshot)
    rows = [
        spine.training(
            target, workspace.tables.read_bucket(each, compute.COLUMNS, coded=True), until
        )
        for each in workspace.tables.buckets(log.TABLE, snapshot)
    ]
    return paced(pa.concat_tables(rows) if rows else spine.TRAINING.empty_table())


def paced(rows: pa.Table) -> Pace | Refusal:
    """Return the pace of labelled rows, each account by its first. Pure."""
    mature = rows.filter(rows["mature"]).sort_by("time")
    if not mature.num_rows or not pc.any(mature["label"]).as_py():
        return Refusal(
            rule="outcomes must be known before an experiment can be estimated",
            value="none",
            remedy="ingest more history",
        )
    newest = pc.max(mature["time"]).as_py()
    lately = mature.filter(pc.greater(mature["time"], newest - timedelta(days=DAYS)))
    unit = pc.coalesce(lately["account"], lately["entity"]).to_numpy(zero_copy_only=False)
    _, first = np.unique(unit.astype(str), return_index=True)
    days = max((newest - pc.min(lately["time"]).as_py()) / timedelta(days=1), 1.0)
    labels = lately["label"].to_numpy(zero_copy_only=False)[first]
    return Pace(accounts_per_day=len(first) / days, rate=float(labels.mean()))


def expected(plan: Plan, target: Target, pace: Pace) -> Duration | Refusal:
    """Return what an experiment of a plan takes at a pace."""
    if plan.experiment is None:
        return Refusal(
            rule="a plan must be of an experiment to be estimated",
            value=plan.kind,
            remedy="name one of kind experiment",
        )
    share = plan.steps[-1].weight / 100
    return lasting(plan.experiment, target, pace, share=share)


def lasting(
    asked: Experiment, target: Target, pace: Pace, *, share: float, part: float = 1.0
) -> Duration | Refusal:
    """Return what a comparison of two arms takes at a pace. `share`: of the accounts of both, that
    the new one has; `part`: of all accounts, that both have.
    """
    if not 0 < pace.rate < 1:
        return Refusal(
            rule="the outcome must come to some and not to all",
            value=f"{pace.rate:.0%}",
            remedy="choose another target",
        )
    return experiments.duration(
        asked,
        share=share,
        rate=pace.rate,
        accounts_per_day=pace.accounts_per_day * part,
        horizon_days=target.horizon_days + target.settle_days,
        rng=np.random.default_rng(SEED),
    )
