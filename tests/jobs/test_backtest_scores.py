"""What scores add is measured against the same forecast without them, and none is of the future."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.settings import Settings
from cluster.workspace import Workspace
from features import log
from features.sources.world import WorldConfig, generate
from features.targets import load_target
from jobs.backtest import added, deals, ours, single, walking
from jobs.backtest import asked as asking
from jobs.backtest.asked import BacktestSettings
from jobs.backtest.comparison import Compared
from jobs.backtest.results import POOLED, Against
from jobs.backtest.run import run
from jobs.simulate.question import SimulateSettings
from jobs.simulate.run import run as simulate
from serving import scored
from serving.forecast import strata, tested

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.console import Report

KINDS = ("opportunity", "stage", "outcome", "lead", "attribute")
ASKED: dict[str, Any] = {
    "runner": "inline",
    "draws": 60,
    "origins": 3,
    "every": 6,
    "horizons": "1,4",
}
FUNNEL = """
name: scored
description: The synthetic company, its deals told apart by a score.
stages:
  - {name: lead, entity: lead, entered: [{kind: lead, names: [created]}]}
  - name: discovery
    entity: opportunity
    entered: [{kind: opportunity, names: [created]}, {kind: stage, names: [discovery]}]
  - {name: evaluation, entity: opportunity, entered: [{kind: stage, names: [evaluation]}]}
  - {name: proposal, entity: opportunity, entered: [{kind: stage, names: [proposal]}]}
  - {name: negotiation, entity: opportunity, entered: [{kind: stage, names: [negotiation]}]}
deals_from: discovery
won: [{kind: outcome, names: [won]}]
lost: [{kind: outcome, names: [lost]}, {kind: lead, names: [disqualified]}]
amount: [{kind: opportunity, names: [created, amount_changed]}]
close_day: [{kind: opportunity, names: [close_date_changed]}]
scores: {target: opportunity_win, bands: 2}
"""
TARGET = load_target("opportunity_win")


def _quiet(done: int, total: int, what: str) -> None:
    pass


@pytest.fixture(scope="module")
def funnel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the file of a funnel whose deals have scores."""
    path = tmp_path_factory.mktemp("funnel") / "scored.yaml"
    path.write_text(FUNNEL)
    return str(path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, funnel: str) -> Iterator[Workspace]:
    """Return a workspace with a log, and scores of its deals between the first origin and the
    others, which know who will be won.
    """
    told = generate(WorldConfig(weeks=40, leads=1400, accounts=300, faults=0.0)).events
    told = told.filter(pc.is_in(told["kind"], pa.array(KINDS)))
    events = log.identified(pa.concat_tables([told, closings(told)]))
    with Workspace.open(Settings(home=tmp_path_factory.mktemp("scores"))) as opened:
        log.create(opened.tables, 4)
        opened.tables.append(log.TABLE, events)
        origins = asking.ask(opened, BacktestSettings(funnel=funnel, **ASKED)).plan.origins
        opened.tables.create(TARGET.past_scores_table, scored.SCHEMA)
        weeks = [origins[0] + timedelta(weeks=ahead) for ahead in range(1, 13)]
        rows = pa.concat_tables([oracle(events, moment) for moment in weeks])
        opened.tables.append(TARGET.past_scores_table, rows)
        yield opened


def closings(told: pa.Table) -> pa.Table:
    """Return events that expect every deal to close 30 days after its beginning."""
    made = told.filter(log.named(told, "opportunity", ("created",))).to_pandas()
    day = made["event_time"].astype("int64") // 86_400_000_000 + 30
    made = made.assign(name="close_date_changed", number=day, row_key=made["row_key"] + "/closes")
    return pa.Table.from_pandas(made, told.schema, preserve_index=False)


def oracle(events: pa.Table, moment: datetime) -> pa.Table:
    """Return a score at a moment of every deal there ever is: is it won in the end?"""
    won = set(events.filter(log.named(events, "outcome", ("won",)))["opportunity"].to_pylist())
    names = pc.unique(events["opportunity"].drop_null().cast(pa.string())).to_pylist()
    columns = {
        "entity": names,
        "account": [None] * len(names),
        "time": [moment] * len(names),
        "probability": [0.9 if name in won else 0.1 for name in names],
        "is_own": [True] * len(names),
        "learnt_at": [moment] * len(names),
        "made": ["test"] * len(names),
    }
    return pa.table(columns, scored.SCHEMA)


@pytest.fixture(scope="module")
def report(filled: Workspace, funnel: str) -> Report:
    """Return the report of a backtest."""
    return run(filled, BacktestSettings(funnel=funnel, **ASKED), _quiet)


def test_the_same_forecast_without_scores_is_made_where_there_are_some(
    filled: Workspace, report: Report
) -> None:
    rows = filled.tables.read(tested.TABLE).to_pandas()
    origins = rows.groupby("forecaster")["origin"].unique()
    assert set(origins[tested.UNSCORED]) < set(origins[tested.OURS])
    assert len(origins[tested.UNSCORED]) == 2, "the first origin had no score yet"
    assert report.table is not None and "ours without scores" in set(report.table["forecaster"])


def test_what_scores_add_is_said_and_shown(report: Report) -> None:
    said = " ".join(report.decided)
    assert "scores change the CRPS of what is won by" in said
    assert "too few for an interval" in said
    assert "scores change the log loss of single deals by -" in said
    html = Path(str(report.wrote["page"])).read_text()
    for words in ("What scores add", "ours without scores", "all, without scores", "Single deals"):
        assert words in html


def test_scores_that_tell_tell_single_deals_apart(filled: Workspace, report: Report) -> None:
    rows = filled.tables.read(single.TABLE).to_pandas()
    found = single.judged(rows, tested.UNSCORED)
    assert found is not None
    loss = found.set_index("stage")["log_loss"]
    assert loss["all"] < 0.9 * loss[tested.UNSCORED]
    again = single.judged(pd.concat([rows, rows]), tested.UNSCORED)
    pd.testing.assert_frame_equal(found, again), "an origin that was forecast twice counts once"
    rng = np.random.default_rng(1)
    by_origin = single.compared(rng, rows, tested.UNSCORED, ASKED["every"])
    assert by_origin is not None and by_origin.origins == 2 and by_origin.skill > 0.1
    assert single.compared(rng, rows, "nobody", ASKED["every"]) is None
    curve = single.curve(rows)
    assert curve["chance"].is_monotonic_increasing and curve["share"].iloc[-1] > 0.2


def test_what_came_of_single_deals_is_what_was_won(
    filled: Workspace, funnel: str, report: Report
) -> None:
    asked = asking.ask(filled, BacktestSettings(funnel=funnel, **ASKED))
    rows = filled.tables.read(single.TABLE).to_pandas()
    events = filled.tables.read(log.TABLE)
    won = events.filter(log.named(events, "outcome", ("won",))).to_pandas()
    origin = asked.plan.origins[-1]
    inside = won["event_time"].between(origin, origin + timedelta(weeks=4), inclusive="left")
    mine = rows[(rows["origin"] == origin) & (rows["forecaster"] == tested.OURS)]
    told = set(mine[mine["is_won"]]["deal"])
    assert len(told) > 1 and told == set(won[inside]["opportunity"]) & set(mine["deal"])


def test_scores_that_were_made_later_are_not_looked_at(
    filled: Workspace, funnel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asking.ask(filled, BacktestSettings(funnel=funnel, **ASKED))
    place = asking.place(filled, asked)
    origin = asked.plan.origins[0]
    events = filled.tables.read(log.TABLE)
    later = oracle(events, origin + timedelta(microseconds=1)).rename_columns
    names = ["entity", "account", "time", "score", *scored.SCHEMA.names[4:]]
    given = later(names).select(strata.SCORES.names).cast(strata.SCORES)
    knowing = replace(place, scores=(strata.Scored(TARGET.name, "opportunity", given, 2),))
    assert not knowing.is_scored(origin)
    bare = ours.Ours(place=replace(place, scores=())).forecast(origin)
    found = ours.Ours(place=knowing).forecast(origin)
    assert all(np.array_equal(bare[key], found[key]) for key in bare)
    # mutant: nobody asks when a score was made
    of = strata._of
    monkeypatch.setattr(
        strata, "_of", lambda course, model, each: _timeless(of, course, model, each)
    )
    leaked = ours.Ours(place=knowing).forecast(origin)
    assert not all(np.array_equal(bare[key], leaked[key]) for key in bare)


def _timeless(of: Any, course: Any, model: int, each: Any) -> Any:
    known = of(replace(course, at=log.NEVER - 1), model, each)
    return known._replace(time=np.zeros_like(known.time))


def test_an_origin_is_read_once(
    filled: Workspace, funnel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asking.ask(filled, BacktestSettings(funnel=funnel, **ASKED))
    place = asking.place(filled, asked)
    truth, origin = ours.truth(place, asked.latest), asked.plan.origins[-1]
    read: list[datetime] = []
    course = ours.Place.course

    def counted(self: ours.Place, at: datetime) -> Any:
        read.append(at)
        return course(self, at)

    monkeypatch.setattr(ours.Place, "course", counted)
    made = walking.one(asked.plan, place, truth, origin)
    forecasters = set(made.rows["forecaster"].to_pylist())
    assert {tested.OURS, tested.UNSCORED, "stage_weighted"} <= forecasters
    assert read == [origin]


def test_a_forecast_says_how_many_open_units_have_a_score(
    filled: Workspace, funnel: str, tmp_path: Path
) -> None:
    scenario = tmp_path / "plain.yaml"
    scenario.write_text(f"name: plain\nfunnel: {funnel}\nhorizon: 3\ndraws: 40\n")
    said = simulate(filled, SimulateSettings(scenario=str(scenario), runner="inline"), _quiet)
    (line,) = [each for each in said.decided if each.startswith("scores: ")]
    assert "open units have one" in line and "of opportunity_win" in line
    assert "their weight: " in line
    html = Path(str(said.wrote["page"])).read_text()
    assert "<dt>scores</dt>" in html and "Aalen-Johansen" in html
    assert "<dt>close dates</dt>" in html and "the day expected first" in html


@pytest.mark.parametrize(
    ("ends", "words"),
    [((-2.0, -0.5), "they help"), ((0.5, 2.0), "they harm"), ((-1.0, 1.0), "not told apart")],
)
def test_the_verdict_on_scores_goes_by_the_interval(ends: tuple[float, float], words: str) -> None:
    mid = sum(ends) / 2
    found = Compared(
        difference=mid, low=ends[0], high=ends[1], skill=0.0, origins=20, block=4, theirs=10.0
    )
    what = {"forecaster": tested.UNSCORED, "series": tested.ALL, "measure": "won"}
    against = [Against(**what, horizon=POOLED, found=found)]
    (line,) = added.said(against, None)
    assert words in line and f"by {mid / 10:+.1%}" in line
    assert (
        f"({ends[0] / 10:+.1%} to {ends[1] / 10:+.1%})".replace("(", "90 % interval ")[:-1] in line
    )


def test_groups_of_about_the_same_chance_hold_what_was_won() -> None:
    chance = np.array([0.1, 0.9, 0.2, 0.8])
    found = deals.curve(chance, np.array([False, True, False, True]), bins=2)
    assert found["chance"].tolist() == [pytest.approx(0.15), pytest.approx(0.85)]
    assert found["share"].tolist() == [0.0, 1.0] and found["deals"].tolist() == [2, 2]
