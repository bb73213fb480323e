"""The workspace of the serving bench: a log, its online store, a published model of 300 trees.

Made once and kept for a week; every run begins with a fresh copy at the same place.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import canonical
from cluster.errors import Refusal
from cluster.runs import code_version
from cluster.settings import Settings
from cluster.workspace import Workspace
from features import compute, log, online, spine
from features.targets import load_target
from jobs.train import fit, leaks, learn
from serving import bundle, rules
from serving.registry import Registry, alias
from serving.wording import wordings
from tests.bench import serving_company
from tests.bench.load import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from features.targets import Target
    from serving.model import Model

FORM = 1  # raise it when what is made changes
TARGET = ROOT / "tests" / "bench" / "serving_target.yaml"
TREES, DEPTH, RATE, SEED = 300, 6, 0.05, 7
FEATURES = 50  # of the model
LEFT_OUT = frozenset({"ad_clicks_30d", "campaigns_90d", "hours_marketing_qualified", "state"})
MOMENTS = 5  # training rows of a lead
IN_TAIL = 0.01  # share of the events that came after the base of the online store
KEPT = timedelta(days=7)
ONE_DAY = 86_400_000_000  # microseconds
CHECKED = 200

type Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Made:
    """Where everything is."""

    home: Path  # of the workspace
    trees: Path  # the same booster, for the bare peer
    leads: tuple[bytes, ...]  # bodies that ask for decisions, without reasons
    explained: tuple[bytes, ...]  # the same with reasons
    rows: tuple[bytes, ...]  # bodies for the bare peer: 50 numbers each
    facts: Figures


def fresh(
    folder: Path, *, count: int = serving_company.LEADS, median: int = serving_company.MEDIAN
) -> Made:
    """Return a workspace that nobody has used, made below `folder` when it is not there: of so many
    leads with so many events each.
    """
    kept = folder / _name(count, median)
    facts = kept / "facts.json"
    if not facts.exists() or _is_old(facts):
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        facts.write_text(json.dumps(_make(kept, count, median)))
        shutil.copytree(kept / "home", kept / "pristine")
    shutil.rmtree(kept / "home", ignore_errors=True)
    shutil.copytree(kept / "pristine", kept / "home")
    said = json.loads(facts.read_text())
    leads = [{"lead": serving_company.lead(n)} for n in _shuffled(count)]
    return Made(
        home=kept / "home",
        trees=kept / "trees.ubj",
        leads=tuple(json.dumps({**each, "reasons": False}).encode() for each in leads),
        explained=tuple(json.dumps({**each, "reasons": True}).encode() for each in leads),
        rows=tuple((kept / "rows.jsonl").read_bytes().splitlines()),
        facts=said,
    )


def mismatches(home: Path, answers: list[Figures]) -> list[str]:
    """Return the leads whose answered score is not that of the batch, to the bit."""
    target = load_target(str(TARGET))
    with Workspace.open(Settings(home=home)) as workspace:
        model = _published(workspace, target)
        events = workspace.tables.read(log.TABLE)
    asked = pa.table(
        {
            "entity": [a["entity"] for a in answers],
            "account": [a["account"] for a in answers],
            "time": pa.array(
                [datetime.fromisoformat(a["as_of"]) for a in answers], log.MICROSECONDS
            ),
        },
        schema=spine.SCORING,
    )
    rows = compute.compute(target.features, events, asked)
    found = model.score(model.encode(rows), model.points(rows)).probability.tolist()
    answered = {(a["entity"], datetime.fromisoformat(a["as_of"])): a["score"] for a in answers}
    keys = zip(rows["entity"].to_pylist(), rows["time"].to_pylist(), strict=True)
    return [key[0] for key, score in zip(keys, found, strict=True) if answered[key] != score]


def decisions(home: Path) -> int:
    """Return how many decisions the journal holds."""
    with Workspace.open(Settings(home=home)) as workspace:
        return sum(1 for _ in workspace.journal.entries("decision"))


def _is_old(facts: Path) -> bool:
    made = datetime.fromisoformat(json.loads(facts.read_text())["made_at"])
    return datetime.now(UTC) - made > KEPT


def _name(count: int, median: int) -> str:
    """Return the folder of a company; that of the serving bench goes without its size."""
    usual = (count, median) == (serving_company.LEADS, serving_company.MEDIAN)
    return f"serving-{FORM}" + ("" if usual else f"-{count}-{median}")


def _shuffled(count: int) -> list[int]:
    return np.random.default_rng(SEED).permutation(count).tolist()


def _make(kept: Path, count: int, median: int) -> Figures:
    now = datetime.now(UTC).replace(microsecond=0)
    rng, target = np.random.default_rng(SEED), load_target(str(TARGET))
    events = serving_company.events(rng, now, leads=count, median=median)
    with Workspace.open(Settings(home=kept / "home")) as workspace:
        is_late = rng.random(events.num_rows) < IN_TAIL
        log.create(workspace.tables, workspace.settings.buckets)
        for part in (~is_late, is_late):
            workspace.tables.append(log.TABLE, events.filter(pa.array(part)))
            online.follow(workspace)
        rows = _training(rng, target, events, now)
        trained = _learnt(target, rows)
        _publish(workspace, target, trained, rows)
    trained.booster.save_model(kept / "trees.ubj")
    today = compute.compute(target.features, events, _spine(events, [now]))
    lines = [[None if v != v else v for v in row] for row in trained.encode(today).tolist()]
    bodies = [json.dumps({"features": line}) for line in lines]
    (kept / "rows.jsonl").write_text("\n".join(bodies))
    return _facts(target, trained, events, now)


def _facts(target: Target, trained: Model, events: pa.Table, now: datetime) -> Figures:
    sizes = events.group_by("shard").aggregate([("event_id", "count")])["event_id_count"]
    return {
        "made_at": now.isoformat(),
        "shards": len(sizes),
        "events": events.num_rows,
        "median_events": float(np.median(sizes.to_numpy())),
        "computed_features": len(target.features.features),
        "features": len(trained.signature.features),
        "trees": trained.booster.num_boosted_rounds(),
    }


def _spine(events: pa.Table, moments: list[datetime]) -> pa.Table:
    """Return a row for each lead at each moment."""
    created = events.filter(pc.field("kind") == "lead")
    times = pa.array([at for at in moments for _ in range(created.num_rows)], log.MICROSECONDS)
    repeated = {
        name: pa.concat_arrays([created[key].combine_chunks()] * len(moments))
        for name, key in (("entity", "lead"), ("account", "account"))
    }
    return pa.table({**repeated, "time": times}, schema=spine.SCORING)


def _training(
    rng: np.random.Generator, target: Target, events: pa.Table, now: datetime
) -> pa.Table:
    """Return rows with outcomes drawn from a chance that several features move."""
    moments = [now - timedelta(days=float(d)) for d in rng.uniform(0, 90, MOMENTS)]
    rows = compute.compute(target.features, events, _spine(events, moments))
    numbers = [f.name for f in target.features.features if not pa.types.is_string(f.type)]
    matrix = np.column_stack([np.asarray(rows[n].cast(pa.float64())) for n in numbers])
    spread = np.nan_to_num((matrix - np.nanmean(matrix, 0)) / (np.nanstd(matrix, 0) + 1e-9))
    logit = spread @ rng.normal(0, 0.3, len(numbers)) + spread[:, 0] * spread[:, 5] / 2 - 1
    label = pa.array(rng.random(len(logit)) < 1 / (1 + np.exp(-logit)))
    rows = rows.append_column("label", label)
    return rows.append_column("mature", pa.array(np.ones(len(logit), bool)))


def _learnt(target: Target, rows: pa.Table) -> Model:
    split = fit.prepare(rows, target, test_share=0.2, purge=False)
    worded = replace(split, signature=split.signature.worded(wordings(target.features)))
    prepared = leaks.left_out(worded, LEFT_OUT)
    recipe = learn.Recipe(params={"learning_rate": RATE, "max_depth": DEPTH}, rounds=TREES)
    declared = rules.parse(target.rules)
    trained, _ = learn.learnt(prepared, declared, recipe, np.random.default_rng(SEED))
    found = len(trained.signature.features), trained.booster.num_boosted_rounds()
    if found != (FEATURES, TREES):
        raise SystemExit(f"the model must have {FEATURES} features, {TREES} trees, got {found}")
    return trained


def _publish(workspace: Workspace, target: Target, trained: Model, rows: pa.Table) -> None:
    made_from = bundle.Provenance(
        target=target.model_dump(mode="json"),
        target_version=target.version,
        training_table=target.training_table,
        training_snapshot=canonical.digest(SEED),
        views=target.view_versions,
        code_version=code_version("jobs/train"),
        created_at=workspace.clock(),
        metrics={},
        card="The model of the serving bench.",
    )
    packed = bundle.pack(trained, rows, made_from)
    models = Registry(workspace.blobs, workspace.refs, workspace.journal)
    said = {"actor": "bench", "reason": "to be measured", "now": workspace.clock()}
    done = models.publish(packed, target.name, **said)
    if isinstance(done, Refusal):
        raise SystemExit(str(done))


def _published(workspace: Workspace, target: Target) -> Model:
    models = Registry(workspace.blobs, workspace.refs, workspace.journal)
    return models.get(alias(target.name))[1]
