"""The simulation job: from a log to table, blob and ref, the same on every runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.errors import WrongUse
from features import log
from features.sources.world import WorldConfig, generate
from jobs import console
from jobs.simulate.answer import NotEnough
from jobs.simulate.question import SimulateSettings
from jobs.simulate.run import JOB, run
from serving.forecast import record

if TYPE_CHECKING:
    from cluster.workspace import Workspace

SMALL = {"draws": 60, "horizon_weeks": 8}


@pytest.fixture(scope="module")
def events() -> pa.Table:
    """Return the log of a small company."""
    told = generate(WorldConfig(weeks=60, leads=2200, accounts=400, faults=0.0)).events
    kinds = ["opportunity", "stage", "outcome", "lead", "activity", "intervention"]
    return log.identified(told.filter(pc.is_in(told["kind"], pa.array(kinds))))


@pytest.fixture
def filled(workspace: Workspace, events: pa.Table) -> Workspace:
    """Return a workspace whose log holds the events."""
    log.create(workspace.tables, 4)
    workspace.tables.append(log.TABLE, events)
    return workspace


def simulated(workspace: Workspace, **options: object) -> console.Report:
    """Run the job with few draws, inline unless told otherwise."""
    settings = {"runner": "inline", **SMALL, **options}
    return run(workspace, SimulateSettings(**settings), lambda done, total, what: None)  # type: ignore[arg-type]


def test_a_run_writes_blob_rows_and_ref_that_agree(filled: Workspace) -> None:
    report = simulated(filled)
    ref = filled.refs.get("forecasts/outreach")
    assert ref is not None and ref.target == report.wrote["run"]
    rows = filled.tables.read(record.TABLE).to_pandas()
    assert set(rows["run"]) == {ref.target} and len(rows) == report.wrote["rows"] == 8 * 36
    draws, facts = record.read(filled.blobs.get(ref.target))
    assert draws.num_rows == 2 * 60 * 8 and facts["grade"] == "randomised"
    mean = rows.query("scenario == 'baseline' and part == 'new' and measure == 'won'")
    won = draws.filter(pc.equal(draws["scenario"], "baseline"))["won_new"]
    assert mean.query("span == 'weekly'")["mean"].sum() == pytest.approx(pc.sum(won).as_py() / 60)


def test_the_report_says_what_it_rests_on_and_shows_the_forecast(filled: Workspace) -> None:
    report = simulated(filled)
    said = "\n".join(report.decided)
    assert "evidence: randomised" in said and "effect of a contact, estimated: hazard ratio" in said
    assert report.table is not None and report.table["week"].tolist() == [2, 4, 6, 8]
    assert list(report.table.columns)[1:4] == ["baseline won", "outreach won", "difference won"]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_ray_and_inline_give_the_same_bytes(filled: Workspace) -> None:
    told: list[tuple[int, int]] = []
    inline = simulated(filled)
    settings = SimulateSettings(runner="ray", draws=60, horizon_weeks=8)
    on_ray = run(filled, settings, lambda done, total, what: told.append((done, total)))
    assert on_ray.wrote["run"] == inline.wrote["run"]
    assert told[-1][0] == told[-1][1] == len(told) > 1


def test_a_run_again_does_nothing_until_its_ref_is_moved(filled: Workspace) -> None:
    settings = SimulateSettings(runner="inline", draws=60, horizon_weeks=8)

    def again() -> console.Done:
        return console.perform(JOB, settings, filled, lambda done, total, what: None)

    assert [again().unchanged, again().unchanged] == [False, True]
    name, now = "forecasts/outreach", filled.clock()
    filled.refs.move(name, to="other", expect_epoch=1, actor="a", reason="b", now=now)
    assert not again().unchanged


def test_a_scenario_without_levers_is_simulated_alone(filled: Workspace) -> None:
    report = simulated(filled, scenario="baseline")
    assert report.table is not None and list(report.table.columns)[1:] == [
        "baseline won",
        "baseline value",
    ]
    assert report.wrote["ref"] == "forecasts/baseline" and "payoff" not in report.figures


def test_the_moment_asked_about_decides_what_is_open(filled: Workspace) -> None:
    early = simulated(filled, scenario="baseline", as_of="2025-09-01T00:00:00Z")
    late = simulated(filled, scenario="baseline")
    assert early.read["open deals"] != late.read["open deals"]
    assert early.wrote["run"] != late.wrote["run"]


def test_too_few_randomised_contacts_are_one_line(filled: Workspace) -> None:
    with pytest.raises(NotEnough, match="at least 10 qualified leads in each arm"):
        simulated(filled, as_of="2025-01-27T00:00:00+00:00")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenario": "outreech"}, "did you mean 'outreach.yaml'"),
        ({"as_of": "yesterday"}, "must be an ISO 8601 time"),
        ({"as_of": "2025-03-01T00:00:00"}, "must name its time zone"),
        ({"draws": 0}, "greater than or equal to 1"),
        ({"runner": "spark"}, "runner must be one of"),
    ],
)
def test_a_wrong_option_is_one_line(
    filled: Workspace, options: dict[str, object], message: str
) -> None:
    with pytest.raises(WrongUse, match=message):
        simulated(filled, **options)


def test_an_empty_workspace_says_what_to_run_first(workspace: Workspace) -> None:
    with pytest.raises(WrongUse, match="ingest"):
        simulated(workspace)
