"""The backtest job: from a log to frozen rows, a page, and what each forecast says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.errors import WrongUse
from cluster.settings import Settings
from cluster.workspace import Workspace
from features import log
from features.sources.world import WorldConfig, generate
from jobs.backtest import asked as asking
from jobs.backtest import knowing, ours, walking
from jobs.backtest.asked import BacktestSettings
from jobs.backtest.run import run
from jobs.backtest.walk import Key
from jobs.simulate.question import SimulateSettings
from jobs.simulate.run import run as simulate
from serving.forecast import tested

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.console import Report

KINDS = ("opportunity", "stage", "outcome", "lead", "intervention", "attribute")
ASKED = {"runner": "inline", "draws": 60, "origins": 13, "every": 1, "horizons": "1,3"}


LEADS = """
name: leads
description: Leads until they are qualified, and no deals.
stages:
  - {name: lead, entity: lead, entered: [{kind: lead, names: [created]}]}
won: [{kind: lead, names: [qualified]}]
lost: [{kind: lead, names: [disqualified]}]
"""


def _quiet(done: int, total: int, what: str) -> None:
    pass


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Return a workspace whose log holds the events of a small company."""
    told = generate(WorldConfig(weeks=52, leads=1500, accounts=300, faults=0.0)).events
    events = log.identified(told.filter(pc.is_in(told["kind"], pa.array(KINDS))))
    with Workspace.open(Settings(home=tmp_path_factory.mktemp("backtest"))) as opened:
        log.create(opened.tables, 4)
        opened.tables.append(log.TABLE, events)
        yield opened


def again(workspace: Workspace, **options: Any) -> Report:
    """Run the job with few draws, inline unless told otherwise."""
    return run(workspace, BacktestSettings(**{**ASKED, **options}), _quiet)


@pytest.fixture(scope="module")
def report(filled: Workspace) -> Report:
    """Return the report of a run."""
    return again(filled)


def test_past_forecasts_are_frozen_judged_and_shown(filled: Workspace, report: Report) -> None:
    assert report.table is not None and "ours" in set(report.table["forecaster"])
    ref = filled.refs.get(tested.ref("sales"))
    assert ref is not None and ref.target == report.wrote["run"]
    rows = filled.tables.read(tested.TABLE).to_pandas()
    rows = rows[rows["run"] == ref.target]
    assert rows["origin"].nunique() == 13 and set(rows["horizon"]) == {1, 3}
    html = Path(report.wrote["page"]).read_text()
    assert "stage-weighted" in html and "<svg" in html


@pytest.mark.usefixtures("report")
def test_every_forecast_says_how_often_such_intervals_held(filled: Workspace) -> None:
    options: dict[str, Any] = {"runner": "inline", "scenario": "baseline", "draws": 40}
    said = simulate(filled, SimulateSettings(**options, horizon=4), _quiet)
    assert any("90% intervals held" in line for line in said.decided)
    assert any("within 3 weeks, recalibrated:" in line for line in said.decided)
    html = Path(str(said.wrote["page"])).read_text()
    assert "intervals held" in html and "recalibrated" in html


def test_what_is_done_is_not_done_again(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Origins on record stay as they were; only those that are new are forecast."""
    again(filled, origins=1, seed=9)
    before = filled.tables.read(tested.TABLE).to_pandas()
    made: list[datetime] = []
    one = walking.one

    def counted(*args: Any) -> pa.Table:
        made.append(args[-1])
        return one(*args)

    monkeypatch.setattr(walking, "one", counted)
    report = again(filled, origins=2, seed=9)
    assert len(made) == 1 and "1 of 2 origins were done before" in report.decided[0]
    after = filled.tables.read(tested.TABLE).to_pandas()
    same = before.columns.tolist()
    assert len(before.merge(after, on=same)) == len(before)
    monkeypatch.setattr(walking, "_there", lambda *_: set())
    with pytest.raises(ValueError, match="duplicate"):  # the mutant: all is done again
        again(filled, origins=2, seed=9)
    assert len(made) == 3


def test_nothing_that_was_learnt_later_is_looked_at(filled: Workspace) -> None:
    """A forecast from an origin is the same whether or not the log goes on after it."""
    asked = asking.ask(filled, BacktestSettings(**ASKED))
    place = asking.place(filled, asked)
    origin = asked.plan.origins[0]
    known = place.events.filter(pc.less_equal(place.events["known_at"], pa.scalar(origin)))
    then = ours.Place(funnel=place.funnel, events=known, horizons=(1, 3), draws=30, seed=1)
    later = ours.Place(funnel=place.funnel, events=place.events, horizons=(1, 3), draws=30, seed=1)
    before, after = (ours.Ours(place=each).forecast(origin) for each in (then, later))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_the_truth_is_what_was_won(filled: Workspace) -> None:
    asked = asking.ask(filled, BacktestSettings(**ASKED))
    place = asking.place(filled, asked)
    came = ours.truth(place, asked.latest)(asked.plan.origins[0])
    outcomes = place.events.filter(log.named(place.events, "outcome", ("won",))).to_pandas()
    ends = asked.plan.origins[0] + timedelta(days=21)
    inside = outcomes["event_time"].between(asked.plan.origins[0], ends, inclusive="left")
    assert came[Key("all", "won")][1] == outcomes[inside]["opportunity"].nunique()
    regions = [key for key in came if key.measure == "won" and key.series.startswith("segment=")]
    assert sum(came[key][1] for key in regions) <= came[Key("all", "won")][1]


def test_the_past_of_the_simple_forecasts_is_what_was_known(filled: Workspace) -> None:
    asked = asking.ask(filled, BacktestSettings(**ASKED))
    course = asking.place(filled, asked).course(asked.plan.origins[-1])
    known = knowing.known(course)[Key("all", "won")]
    open_now = known.units[known.units["back"] == 0]
    assert len(open_now) and open_now["won_in"].isna().all(), "of these nobody knows yet"
    won_units = known.units[known.units["won_in"] == 1].groupby("back").size()
    assert (won_units <= known.won[::-1][won_units.index - 1]).all()


def test_a_funnel_without_deals_is_forecast_too(filled: Workspace, tmp_path: Path) -> None:
    """No single deal is told apart there."""
    file = tmp_path / "leads.yaml"
    file.write_text(LEADS)
    report = again(filled, funnel=str(file), origins=1)
    assert report.wrote["rows"] > 0 and report.table is not None
    assert (report.table["forecaster"] == "ours").any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"funnel": "saales"}, "did you mean 'sales.yaml'"),
        ({"origins": 0}, "must be 1 or more, got 0"),
        ({"horizons": "1,x"}, "numbers of steps from 1 to 520, got '1,x'"),
    ],
)
def test_a_wrong_option_is_one_line(
    filled: Workspace, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(WrongUse, match=message):
        asking.ask(filled, BacktestSettings(**{**ASKED, **options}))


def test_without_a_history_there_is_nothing_to_say(filled: Workspace) -> None:
    with pytest.raises(Exception, match="must have a history to forecast from"):
        again(filled, until=datetime(2025, 1, 20, tzinfo=UTC).isoformat(), seed=7)
