"""The simulation job: from a log to table, blob and ref, the same on every runner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.errors import WrongUse
from cluster.settings import Settings
from cluster.workspace import Workspace
from features import log
from features.sources.world import WorldConfig, generate
from jobs import console
from jobs.simulate import keep, question
from jobs.simulate.answer import NotEnough
from jobs.simulate.question import SimulateSettings
from jobs.simulate.run import JOB, run
from serving.forecast import record

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = {"draws": 60, "horizon_weeks": 8}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Return a workspace whose log holds the events of a small company."""
    told = generate(WorldConfig(weeks=60, leads=2200, accounts=400, faults=0.0)).events
    kinds = ["opportunity", "stage", "outcome", "lead", "activity", "intervention"]
    events = log.identified(told.filter(pc.is_in(told["kind"], pa.array(kinds))))
    with Workspace.open(Settings(home=tmp_path_factory.mktemp("simulate"))) as opened:
        log.create(opened.tables, 4)
        opened.tables.append(log.TABLE, events)
        yield opened


def simulated(workspace: Workspace, **options: object) -> console.Report:
    """Run the job with few draws, inline unless told otherwise."""
    settings = {"runner": "inline", **SMALL, **options}
    return run(workspace, SimulateSettings(**settings), lambda done, total, what: None)  # type: ignore[arg-type]


def test_a_run_writes_blob_rows_and_ref_that_agree(filled: Workspace) -> None:
    report = simulated(filled)
    ref = filled.refs.get("forecasts/outreach")
    assert ref is not None and ref.target == report.wrote["run"]
    rows = filled.tables.read(record.TABLE).to_pandas()
    rows = rows[rows["run"] == ref.target]
    assert len(rows) == report.wrote["rows"] == 8 * 36
    draws, facts = record.read(filled.blobs.get(ref.target))
    assert draws.num_rows == 2 * 60 * 8 and facts["grade"] == "randomised"
    mean = rows.query("scenario == 'baseline' and part == 'new' and measure == 'won'")
    won = draws.filter(pc.equal(draws["scenario"], "baseline"))["won_new"]
    assert mean.query("span == 'weekly'")["mean"].sum() == pytest.approx(pc.sum(won).as_py() / 60)


def test_an_equal_run_adds_no_rows(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def kept_after_a_run() -> tuple[object, int]:
        wrote = simulated(filled, seed=11).wrote
        runs = filled.tables.read(record.TABLE, columns=["run"])["run"].to_pylist()
        return wrote["run"], runs.count(wrote["run"])

    once = kept_after_a_run()
    assert kept_after_a_run() == once
    monkeypatch.setattr(keep, "_is_kept", lambda tables, run: False)
    assert kept_after_a_run() != once


def test_the_report_says_what_it_rests_on_and_shows_the_forecast(filled: Workspace) -> None:
    report = simulated(filled)
    said = "\n".join(report.decided)
    assert "evidence: randomised" in said and "effect of a contact, estimated: hazard ratio" in said
    assert report.table is not None and report.table["week"].tolist() == [2, 4, 6, 8]
    assert list(report.table.columns)[1:4] == ["baseline won", "outreach won", "difference won"]


@pytest.mark.drill  # a process compiles the kernels anew; make test compares chunks instead
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_ray_and_inline_give_the_same_bytes(filled: Workspace) -> None:
    told: list[tuple[int, int]] = []
    inline = simulated(filled)
    settings = SimulateSettings(runner="ray", draws=60, horizon_weeks=8)
    on_ray = run(filled, settings, lambda done, total, what: told.append((done, total)))
    assert on_ray.wrote["run"] == inline.wrote["run"]
    runs = filled.tables.read(record.TABLE, columns=["run"])["run"].to_pylist()
    assert runs.count(inline.wrote["run"]) == inline.wrote["rows"], "equal runs are kept once"
    assert told[-1][0] == told[-1][1] == len(told) > 1


def test_a_run_again_does_nothing_until_its_ref_is_moved(filled: Workspace) -> None:
    settings = SimulateSettings(runner="inline", draws=30, horizon_weeks=8, seed=9)

    def again() -> console.Done:
        return console.perform(JOB, settings, filled, lambda done, total, what: None)

    assert [again().unchanged, again().unchanged] == [False, True]
    simulated(filled)
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
        ({"draws": 0}, "greater than or equal to 1"),
        ({"horizon_weeks": 1000}, "less than or equal to 260"),
    ],
)
def test_a_wrong_option_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        question.load(SimulateSettings(**options))


def test_an_empty_workspace_says_what_to_run_first(workspace: Workspace) -> None:
    with pytest.raises(WrongUse, match="ingest"):
        simulated(workspace)
