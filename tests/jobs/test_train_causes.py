"""Hazards as targets: four models of one cause each, against a table of stage and time in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features import log, spine
from features.sources.world import WorldConfig, generate
from features.targets import load_target
from jobs import console
from jobs.ingest.run import JOB as INGEST
from jobs.ingest.run import IngestSettings
from jobs.materialize.run import JOB as MATERIALIZE
from jobs.materialize.run import MaterializeSettings
from jobs.train.run import JOB as TRAIN
from jobs.train.settings import TrainSettings
from serving.forecast import causes, moves
from serving.forecast.funnels import banded, load_funnel
from serving.registry import Registry

if TYPE_CHECKING:
    from cluster.workspace import Workspace

SALES = load_funnel("sales")
STAGES = {name: place for place, name in enumerate(SALES.states[1 : SALES.won_state])}
KEY = ["time", "entity"]
END = datetime(2026, 6, 29, tzinfo=UTC)  # of the world
WEEK_HOURS = 168
PRIOR_WEEKS = 20.0


def _quiet(done: int, total: int, what: str) -> None:
    pass


def _ingested(workspace: Workspace, name: str) -> None:
    source = str(Path(__file__).parents[1] / name)
    console.perform(INGEST, IngestSettings(source=source), workspace, _quiet)


def _materialized(workspace: Workspace, cause: str) -> pd.DataFrame:
    settings = MaterializeSettings(target=f"deal_{cause}_week", runner="inline")
    console.perform(MATERIALIZE, settings, workspace, _quiet)
    rows = workspace.tables.read(f"training_deal_{cause}_week")
    return rows.filter(rows["mature"]).to_pandas().sort_values(KEY, ignore_index=True)


def _shared(rows: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the rows that all causes have: a target of wins leaves out a deal that had been won,
    though nobody knew; the others do not.
    """
    shared = rows["advance"][KEY]
    for found in rows.values():
        assert len(found) > 0.98 * len(rows["advance"])
        shared = shared.merge(found[KEY], on=KEY)
    return {cause: shared.merge(found, on=KEY) for cause, found in rows.items()}


def test_nothing_is_both_won_and_lost_in_a_week_and_few_deals_fall_back() -> None:
    """The rows of the four causes, in a company whose records are late and corrected."""
    made = generate(WorldConfig(scale=0.3, faults=0.0, late=0.05))
    events = log.identified(made.events.select(log.CANDIDATE.names).cast(log.CANDIDATE))
    rows = _shared(
        {
            cause: spine.training(load_target(f"deal_{cause}_week"), events, END).to_pandas()
            for cause in causes.CAUSES
        }
    )
    labels = np.stack([found["label"] for found in rows.values()])
    assert labels.shape[1] > 500
    assert not (labels[2] & labels[3]).any()
    assert labels.mean(axis=1) == pytest.approx([0.22, 0.015, 0.06, 0.06], abs=0.04)


@pytest.mark.drill
def test_the_four_models_beat_what_all_deals_have_in_common(workspace: Workspace) -> None:
    """On later weeks, as one row of moves; and a table of stage and band is not far behind."""
    _ingested(workspace, "small_world.yaml")
    rows = _shared({cause: _materialized(workspace, cause) for cause in causes.CAUSES})
    for cause in causes.CAUSES:
        settings = TrainSettings(target=f"deal_{cause}_week", trials=2, runner="inline")
        console.perform(TRAIN, settings, workspace, _quiet)
    chances = np.stack([_scored(workspace, cause, rows[cause]) for cause in causes.CAUSES], axis=1)
    label = {cause: found["label"].to_numpy() for cause, found in rows.items()}
    found = np.select([label[c] for c in ("won", "lost", "advance", "regress")], [3, 4, 1, 2], 0)
    times = rows["won"]["time"]
    cut = times.iloc[len(times) - round(0.2 * len(times))]
    learnt, held = (times + pd.Timedelta(days=7) <= cut).to_numpy(), (times >= cut).to_numpy()
    assert held.sum() > 200
    assert (chances.sum(axis=1)[held] <= 1.0).mean() > 0.99
    assert chances[held].mean(axis=0) == pytest.approx(
        [(found[held] == place).mean() for place in (1, 2, 3, 4)], abs=0.04
    )
    common = moves.shares(np.bincount(found[learnt], minlength=5) + 0.1)
    told = {
        "models": causes.together(chances),
        "table": _table(rows["won"], found, learnt),
        "common": np.tile(common, (len(found), 1)),
    }
    loss = {name: _log_loss(each[held], found[held]) for name, each in told.items()}
    print({name: round(value, 4) for name, value in loss.items()})  # noqa: T201
    assert loss["models"] < loss["common"]
    assert loss["models"] < loss["table"] + 0.02


def _scored(workspace: Workspace, cause: str, rows: pd.DataFrame) -> np.ndarray:
    registry = Registry(workspace.blobs, workspace.refs, workspace.journal)
    found = registry.stable(f"deal_{cause}_week")
    assert isinstance(found, tuple)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    return found[1].score(found[1].encode(table), found[1].points(table)).probability


def _table(rows: pd.DataFrame, found: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Return the chances of the five outcomes by stage and band, learnt from some rows."""
    stage = rows["stage"].map(STAGES).fillna(0).to_numpy(np.int64)
    stayed = (rows["hours_in_stage"].fillna(0) // WEEK_HOURS).to_numpy(np.int64)
    band = banded(SALES.band_of, stayed)
    counts = np.zeros((len(STAGES), len(SALES.bands), 5))
    np.add.at(counts, (stage[learnt], band[learnt], found[learnt]), 1.0)
    of_stage = moves.shares(counts.sum(axis=1) + 0.1)
    return moves.shares(counts + PRIOR_WEEKS * of_stage[:, None])[stage, band]


def _log_loss(chances: np.ndarray, found: np.ndarray) -> float:
    return float(-np.log(chances[np.arange(len(found)), found]).mean())
