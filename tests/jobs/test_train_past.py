"""Scores of past moments know nothing that came later, and who forbids it is not scored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.errors import WrongUse
from cluster.settings import CONFIGS, Settings, load
from cluster.workspace import Workspace
from features import log
from features.sources.world import WorldConfig, generate
from features.targets import load_target
from jobs.pipeline import run as pipeline
from jobs.train.past import lots, taught
from jobs.train.past import run as job
from jobs.train.past.grid import Grid, midnight
from jobs.train.past.question import PastSettings, ask
from serving import batch, scored
from serving.forecast.funnels import load_funnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobs.console import Report

NAME = "lead_qualification"
TARGET = load_target(NAME)
THEN = datetime(2025, 8, 4, tzinfo=UTC)
DAY = timedelta(days=1)
WORLD = WorldConfig(weeks=36, leads=900, accounts=160, late=0.05, corrections=0.05, faults=0.0)
OPTIONS: dict[str, Any] = {"target": NAME, "runner": "inline", "every_days": 14}


def _quiet(done: int, total: int, what: str) -> None:
    pass


def past(workspace: Workspace, **options: Any) -> Report:
    """Run the job."""
    return job.run(workspace, PastSettings(**{**OPTIONS, **options}), _quiet)


def rows(workspace: Workspace) -> pd.DataFrame:
    """Return all past scores, in an order of their own."""
    found = workspace.tables.read(TARGET.past_scores_table).to_pandas()
    return found.sort_values(["time", "entity"], ignore_index=True)


@pytest.fixture(scope="module")
def events() -> pa.Table:
    """Return the log of a small company."""
    return log.identified(generate(WORLD).events)


@pytest.fixture(scope="module")
def filled(
    events: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[pa.Table, str], Workspace]]:
    """Return a function that opens a workspace whose log holds some events."""
    opened: list[Workspace] = []

    def fill(told: pa.Table, name: str) -> Workspace:
        made = Workspace.open(Settings(home=tmp_path_factory.mktemp(name), buckets=4))
        opened.append(made)
        log.create(made.tables, 4)
        made.tables.append(log.TABLE, told)
        return made

    yield fill
    for each in opened:
        each.close()


@pytest.fixture(scope="module")
def whole(events: pa.Table, filled: Callable[[pa.Table, str], Workspace]) -> Workspace:
    """Return a workspace with all of the log, and its past scores."""
    found = filled(events, "whole")
    past(found)
    return found


def test_scores_of_then_are_those_from_the_log_of_then(
    whole: Workspace, events: pa.Table, filled: Callable[[pa.Table, str], Workspace]
) -> None:
    """What was learnt after a moment changes no score of it: not by a label that came or was
    corrected later, and not by a feature.
    """
    then = filled(events.filter(pc.less_equal(events["known_at"], pa.scalar(THEN))), "then")
    past(then)
    of_then, of_now = rows(then), rows(whole)
    of_now = of_now[of_now["time"] <= of_then["time"].max()]
    assert of_then["time"].nunique() > 3 and len(of_then) == len(of_now) > 300
    both = of_then.merge(of_now, on=["entity", "time"], suffixes=("", "_now"), validate="1:1")
    own = both[both["is_own"] & both["is_own_now"]]
    assert len(both) == len(of_then) and len(own) > 200
    assert (own["probability"] == own["probability_now"]).all()


def test_a_model_is_taught_what_was_known_at_its_cut(whole: Workspace, events: pa.Table) -> None:
    features = batch.plain(whole.tables.read(TARGET.table("backfill")))
    known = events.filter(pc.less_equal(events["known_at"], pa.scalar(THEN)))
    keys = ["entity", "time", "label", "mature"]
    of_then, of_now = (
        taught.labelled(TARGET, each, features, THEN).select(keys).to_pandas()
        for each in (known, events)
    )
    order = ["time", "entity"]
    found = [each.sort_values(order, ignore_index=True) for each in (of_then, of_now)]
    pd.testing.assert_frame_equal(*found)
    assert found[0]["mature"].any() and (found[0]["time"] < THEN).all()
    # mutant: labels as they are known in the end
    late = taught.labelled(TARGET, events, features, THEN + 90 * DAY).select(keys).to_pandas()
    leaked = late[late["time"] < THEN].sort_values(order, ignore_index=True)
    assert leaked["label"].sum() > found[1]["label"].sum()
    assert leaked["mature"].sum() > found[1]["mature"].sum()


def test_every_score_is_by_a_model_of_before_it(whole: Workspace) -> None:
    found = rows(whole)
    assert (found["learnt_at"] <= found["time"]).all()
    assert found["learnt_at"].nunique() > 2
    assert (found["time"] - found["learnt_at"]).max() < pd.Timedelta(days=28)


def test_what_is_done_is_not_done_again(
    whole: Workspace, events: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ended early is gone on with, and comes to the same scores."""
    before = rows(whole)
    again = past(whole)
    assert again.figures["models"] == 0 and again.figures["before"] == len(before)
    last = before["learnt_at"].max()
    kept = before[before["learnt_at"] < last]
    table = pa.Table.from_pandas(kept, scored.SCHEMA, preserve_index=False)
    whole.tables.replace(TARGET.past_scores_table, table)
    resumed = past(whole)
    assert resumed.figures["models"] == 1
    pd.testing.assert_frame_equal(rows(whole), before)


def test_who_forbids_it_has_the_score_of_another(whole: Workspace) -> None:
    found = rows(whole)
    withheld = set(ask(whole, PastSettings(**OPTIONS)).withheld)
    assert len(withheld) > 5
    assert not found[found["is_own"]]["entity"].isin(withheld).any()
    drawn = found[~found["is_own"]]
    assert len(drawn) and drawn["entity"].isin(withheld).all()
    for moment, one in found.groupby("time"):
        own = set(one.loc[one["is_own"], "probability"])
        assert set(one.loc[~one["is_own"], "probability"]) <= own, moment


def test_who_was_erased_has_no_past(whole: Workspace) -> None:
    """One whom the log knows no more makes all be made again, without them."""
    asked = ask(whole, PastSettings(**OPTIONS))
    assert job._there(whole, asked).num_rows == len(rows(whole))
    before = whole.tables.read(TARGET.past_scores_table)
    gone = rows(whole).head(1).assign(entity="lead-erased")
    erased = pa.Table.from_pandas(gone, scored.SCHEMA, preserve_index=False)
    whole.tables.append(TARGET.past_scores_table, erased)
    assert not job._there(whole, asked).num_rows
    whole.tables.replace(TARGET.past_scores_table, before.cast(scored.SCHEMA))


def test_a_lot_is_drawn_from_the_others_of_the_moment() -> None:
    time = np.array([1, 1, 1, 2, 3, 3])
    is_withheld = np.array([False, False, True, True, True, False])
    said = np.array([0.1, 0.2, np.nan, np.nan, np.nan, 0.7])
    found = lots.drawn(7, time, said, is_withheld)
    assert found[2] in (0.1, 0.2) and np.isnan(found[3]) and found[4] == 0.7
    assert (found[~is_withheld] == said[~is_withheld]).all()


def test_the_scores_of_a_funnel_are_read_back(whole: Workspace) -> None:
    """As they are by the forecast: those of now only where there are none of the past."""
    funnel = load_funnel("sales")
    found, others = scored.past(whole.tables, funnel)
    assert (found.name, found.entity, found.rows.num_rows) == (NAME, "lead", len(rows(whole)))
    assert others.entity == "opportunity" and not others.rows.num_rows
    assert scored.made(whole.tables, funnel)[NAME] == [rows(whole)["made"].iloc[0]]
    assert scored.known(whole.tables, funnel)[0].rows.equals(found.rows)
    assert TARGET.past_scores_table in scored.heads(whole.tables, funnel)


def test_without_enough_outcomes_there_is_no_score(whole: Workspace) -> None:
    features = batch.plain(whole.tables.read(TARGET.table("backfill")))
    few = taught.labelled(TARGET, whole.tables.read(log.TABLE), features, THEN - 150 * DAY)
    assert taught.model(TARGET, few, 1) is None


def test_the_grid_does_not_move_with_its_end() -> None:
    first = datetime(2026, 1, 5, tzinfo=UTC)
    steps = {"first": first, "every": 7 * DAY, "retrain": 28 * DAY}
    short, long = (Grid(last=first + days * DAY, **steps) for days in (60, 90))
    assert long.moments[: len(short.moments)] == short.moments
    stretches = list(short.stretches)
    assert [each.cut for each in stretches] == [first + 28 * DAY, first + 56 * DAY]
    assert all(each.cut <= moment for each in stretches for moment in each.moments)
    assert short.learnt_from(21) == {first + days * DAY for days in (0, 21, 42)}
    assert midnight(first) == first


@pytest.mark.parametrize("options", [{"every_days": 0}, {"every_days": 30}])
def test_a_wrong_option_is_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(WrongUse, match="0 < --every-days <= --retrain-days"):
        PastSettings(target=NAME, **options)


def test_a_pipeline_may_name_it() -> None:
    plan = load(pipeline.Pipeline, CONFIGS / "pipelines" / "demo.yaml")
    asked = [settings for each, settings in pipeline._resolved(plan) if each is job.JOB]
    assert {each.target for each in asked} == {NAME, "opportunity_win"}


def test_a_past_of_nothing_is_refused(whole: Workspace) -> None:
    with pytest.raises(WrongUse, match="must have 1 to 10,000 moments"):
        past(whole, to="2024-01-01T00:00Z")
