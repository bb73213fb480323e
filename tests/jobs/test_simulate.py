"""The simulation job: from a log to table, blob, ref and page, the same on every runner, and going
on where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
import sqlalchemy as sa

from cluster import schema
from cluster.errors import WrongUse
from jobs import console
from jobs.simulate import answer, keep, question
from jobs.simulate.finished import Finished
from jobs.simulate.known import NotEnough
from jobs.simulate.question import SimulateSettings
from jobs.simulate.run import JOB, run
from serving.forecast import experiment, record
from serving.forecast.given import PARTS
from tests.drills import mostly
from tests.jobs.simulating import DESK, EFFECT, LEVER, SMALL, company, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.workspace import Workspace
    from jobs.simulate.answer import Answer
    from serving.forecast.given import Outcome

CHUNKS = 15  # of 60 draws: four in each


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Return a workspace whose log holds the events of a small company."""
    with company(tmp_path_factory.mktemp("simulate")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(filled: Workspace) -> console.Report:
    """Return the report of a run of the scenario that ships."""
    return simulated(filled)


@pytest.fixture(scope="module")
def baseline(filled: Workspace) -> console.Report:
    """Return that of business as usual."""
    return simulated(filled, scenario="baseline")


def simulated(workspace: Workspace, **options: Any) -> console.Report:
    """Run the job with few draws, inline unless told otherwise."""
    settings = {"runner": "inline", **SMALL, **options}
    return run(workspace, SimulateSettings(**settings), quiet)


def written(folder: Path, **scenario: object) -> str:
    """Write a scenario of one lever and one desk, and return its file."""
    document = {"name": "more", "levers": [LEVER], "desks": [DESK], **SMALL, **scenario}
    path = folder / "more.yaml"
    path.write_text(json.dumps(document))
    return str(path)


def answered(workspace: Workspace, folder: Path, **lever: object) -> Answer:
    """Return the answer to a scenario with another lever, inline."""
    settings = SimulateSettings(scenario=written(folder, levers=[LEVER | lever]))
    asked = question.ask(workspace, settings)
    return answer.answer(workspace, asked, asked_runner="inline", progress=quiet)


def kept(workspace: Workspace, run_: object) -> pd.DataFrame:
    """Return the rows of a run."""
    rows = workspace.tables.read(record.TABLE).to_pandas()
    return rows[rows["run"] == run_].reset_index(drop=True)


def blobs(workspace: Workspace) -> set[Path]:
    """Return the files of all blobs."""
    return {path for path in workspace.settings.home.rglob("*") if len(path.name) == 64}


def test_a_run_writes_blob_rows_and_ref_that_agree(
    filled: Workspace, report: console.Report
) -> None:
    ref = filled.refs.get("forecasts/outreach")
    assert ref is not None and ref.target == report.wrote["run"]
    rows = kept(filled, ref.target)
    assert len(rows) == report.wrote["rows"] != 0
    draws, facts = record.read(filled.blobs.get(ref.target))
    assert draws.num_rows == 2 * 60 * 8 and facts["grade"] == "assumption"
    assert facts["arms"] == ["baseline", "outreach"]
    of_all = rows.query("dimension == 'all' and measure == 'won' and span == 'step'")
    for part in PARTS:
        mean = of_all.query(f"scenario == 'baseline' and part == '{part}'")["mean"].sum()
        won = draws.filter(pc.equal(draws["scenario"], "baseline"))[f"won_{part}"]
        assert mean == pytest.approx(pc.sum(won).as_py() / 60) and mean > 0.0


def test_page_parquet_and_json_tell_what_the_table_holds(
    filled: Workspace, report: console.Report
) -> None:
    page = Path(str(report.wrote["page"]))
    assert page.name == "forecast-outreach.html"
    rows = kept(filled, report.wrote["run"]).drop(columns=["run", "as_of"])
    columnar, plain = (page.with_suffix(suffix) for suffix in (".parquet", ".json"))
    assert report.wrote["numbers"] == [
        *(columnar.name, plain.name, "forecast-outreach-result.json"),
    ]
    read = pd.read_parquet(columnar)[list(rows.columns)]
    pd.testing.assert_frame_equal(read, rows, check_dtype=False)
    told = json.loads(plain.read_text())
    again = pd.DataFrame(told["rows"], columns=told["columns"])[list(rows.columns)]
    pd.testing.assert_frame_equal(again, rows, check_dtype=False)
    text = page.read_text()
    assert "randomised: measured here" in text and "<svg" in text
    assert "<script src" not in text and "<link" not in text, "it needs nothing else"
    assert "Where it comes from: outreach<" in text and "What is open: outreach<" in text
    assert "without levers " in text and "(Aalen-Johansen)" in text


def test_an_equal_run_adds_no_rows(
    filled: Workspace, baseline: console.Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept_after_a_run() -> tuple[object, int]:
        wrote = simulated(filled, scenario="baseline").wrote
        return wrote["run"], len(kept(filled, wrote["run"]))

    once = baseline.wrote["run"], baseline.wrote["rows"]
    assert kept_after_a_run() == once
    monkeypatch.setattr(keep, "_is_kept", lambda tables, run: False)
    assert kept_after_a_run() != once


def test_the_report_says_what_it_rests_on_and_shows_the_forecast(report: console.Report) -> None:
    said = "\n".join(report.decided)
    besides = (
        "evidence: assumption: effects are randomised, saturation and unsubscribe the planner's"
    )
    assert besides in said and "effect of a contact, estimated: ratio of" in said
    assert "it pays with probability" in said
    assert report.table is not None and report.table["step"].tolist() == list(range(1, 9))
    assert list(report.table.columns)[1:4] == ["baseline won", "outreach won", "difference won"]


def test_goals_are_told_of_each_arm(filled: Workspace, tmp_path: Path) -> None:
    path = written(tmp_path, goals={"won": 1, "value_cents": 10**15})
    report = simulated(filled, scenario=path)
    told = [line for line in report.decided if "by the end with probability" in line]
    assert [line.split(" with ")[0] for line in told] == [
        *(f"{name}: 10,000,000,000,000 in value by the end" for name in ("baseline", "more")),
        *(f"{name}: 1 won by the end" for name in ("baseline", "more")),
    ]
    assert [line.split(" with ")[1] for line in told] == [
        *["probability 0% ± 0.0%"] * 2,
        *["probability 100% ± 0.0%"] * 2,
    ]
    assert "10,000,000,000,000 in value" in Path(str(report.wrote["page"])).read_text()


def test_a_run_again_does_nothing_until_its_ref_is_moved(filled: Workspace) -> None:
    settings = SimulateSettings(scenario="baseline", runner="inline", draws=30, horizon=8)

    def again() -> console.Done:
        return console.perform(JOB, settings, filled, quiet)

    assert [again().unchanged, again().unchanged] == [False, True]
    simulated(filled, scenario="baseline", seed=9)
    assert not again().unchanged


def test_a_scenario_without_levers_is_simulated_alone(
    filled: Workspace, baseline: console.Report
) -> None:
    assert baseline.table is not None
    assert list(baseline.table.columns)[1:] == ["baseline won", "baseline value"]
    assert baseline.wrote["ref"] == "forecasts/baseline" and "payoffs" not in baseline.figures
    assert set(kept(filled, baseline.wrote["run"])["scenario"]) == {"baseline"}


def test_the_moment_asked_about_decides_what_is_open(
    filled: Workspace, baseline: console.Report
) -> None:
    early = simulated(filled, scenario="baseline", as_of="2025-09-01T00:00:00Z")
    assert early.read["open deals"] != baseline.read["open deals"]
    assert early.wrote["run"] != baseline.wrote["run"]


def test_open_units_are_told_by_the_key_of_the_deal_or_the_lead(
    filled: Workspace, tmp_path: Path
) -> None:
    found = answered(filled, tmp_path)
    known = [
        set(keys.to_pylist()) for keys in (found.course.keys.opportunities, found.course.keys.leads)
    ]
    assert len(set(found.keys)) == len(found.keys) == len(found.asked.start.name)
    assert all(
        key in known[part] for key, part in zip(found.keys, found.asked.start.part, strict=True)
    )


# arms on the same luck


def same(one: Outcome, other: Outcome) -> bool:
    """Are the courses of all units the same? Contacts and who waits may differ."""
    names = ("won", "cents", "open", "lost_to", "winners")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize(
    ("lever", "is_same"),
    [
        ({}, True),
        ({"rate": 0.0, "effect": EFFECT | {"ratio": 5.0, "sd": 0.3}}, True),
        ({"effect": EFFECT | {"ratio": 5.0}}, False),
    ],
)
def test_arms_that_differ_in_nothing_differ_by_nothing(
    filled: Workspace, tmp_path: Path, lever: dict[str, Any], is_same: bool
) -> None:
    """A contact without effect, or an effect without contacts; mutant: both are there."""
    found = answered(filled, tmp_path, **lever)
    baseline, levers = found.outcomes.values()
    assert levers.contacts.any() == (lever.get("rate") != 0.0)
    assert same(baseline, levers) == is_same
    assert (found.payoffs["more"].won == (0.0, 0, 0)) == is_same
    assert found.told["difference"].cents.any() != is_same


def test_a_lever_on_a_segment_changes_no_draw_of_any_other(
    filled: Workspace, tmp_path: Path
) -> None:
    found = answered(filled, tmp_path, segments=["france"], effect=EFFECT | {"ratio": 8.0})
    mine = (found.names.labels["segment"] == "france").to_numpy()
    difference = found.told["difference"]
    for counts in (difference.won, difference.cents, difference.open):
        assert counts[:, :, mine].any() and not counts[:, :, ~mine].any()


# stopped and taken up again


def taken_up(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[console.Report, list[int]]:
    """Stop a run after six chunks, run it again, and return its report and what it simulated."""
    monkeypatch.setattr(answer, "WORTH_A_RECORD", 0)
    settings = SimulateSettings(runner="inline", **SMALL, **options)

    def stop(done: int, total: int, what: str) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(workspace, settings, stop)
    simulated_: list[int] = []
    simulate = experiment.run

    def counted(asked: Any, span: Any) -> tuple[Outcome, ...]:
        simulated_.append(span.first_draw)
        return simulate(asked, span)

    monkeypatch.setattr(experiment, "run", counted)
    return run(workspace, settings, quiet), simulated_


def on_record(workspace: Workspace) -> list[dict[str, Any]]:
    """Return what is said of all chunks of simulations on record."""
    mine = schema.parts.c.work.like("simulate/%")
    with workspace.database.connect() as connection:
        said = connection.scalars(sa.select(schema.parts.c.said).where(mine))
        return [json.loads(each) for each in said]


def test_a_run_that_was_stopped_goes_on(
    filled: Workspace, report: console.Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = blobs(filled)
    again, chunks = taken_up(filled, monkeypatch)
    assert again.wrote["run"] == report.wrote["run"]
    assert len(chunks) == len(set(chunks)) == CHUNKS - 6
    assert f"; 6 of {CHUNKS} chunks were done before" in again.decided[0]
    assert on_record(filled) == [] and blobs(filled) == before, "nothing is left behind"


def test_without_the_record_all_is_simulated_again(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: nobody looks at what is on record."""
    monkeypatch.setattr(Finished, "there", lambda self: {})
    again, chunks = taken_up(filled, monkeypatch, scenario="baseline", seed=22)
    assert len(chunks) == CHUNKS and "done before" not in again.decided[0]


def test_a_chunk_whose_blob_is_lost_is_simulated_again(
    filled: Workspace, baseline: console.Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Finished.there

    def lost(self: Finished) -> dict[int, tuple[Outcome, ...]]:
        for said in on_record(filled)[:1]:
            filled.blobs.delete(said["blob"])
        return there(self)

    monkeypatch.setattr(Finished, "there", lost)
    again, chunks = taken_up(filled, monkeypatch, scenario="baseline")
    assert len(chunks) == CHUNKS - 5 and again.wrote["run"] == baseline.wrote["run"]


def test_another_question_takes_nothing_from_the_record(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "WORTH_A_RECORD", 0)
    asked = {**SMALL, "scenario": "baseline", "runner": "inline"}

    def stop(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(filled, SimulateSettings(seed=24, **asked), stop)
    other = run(filled, SimulateSettings(seed=25, **asked), quiet)
    assert len(on_record(filled)) == 1 and "done before" not in other.decided[0]
    mine = run(filled, SimulateSettings(seed=24, **asked), quiet)
    assert on_record(filled) == [] and f"; 1 of {CHUNKS}" in mine.decided[0]


def test_what_takes_a_moment_leaves_no_record(filled: Workspace) -> None:
    def stop(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(filled, SimulateSettings(scenario="baseline", runner="inline", **SMALL), stop)
    assert on_record(filled) == []


@pytest.mark.parametrize("chunks", mostly([60, 1]))
def test_chunks_of_any_size_give_the_same_bytes(
    filled: Workspace, report: console.Report, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    monkeypatch.setattr(answer, "LEAST_CHUNKS", chunks)
    told: list[int] = []
    settings = SimulateSettings(runner="inline", draws=60, horizon=8)
    again = run(filled, settings, lambda done, total, what: told.append(total))
    assert again.wrote["run"] == report.wrote["run"] and set(told) == {chunks}


@pytest.mark.drill  # a process compiles the kernels anew; make test compares chunks instead
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_ray_and_inline_give_the_same_bytes(filled: Workspace, report: console.Report) -> None:
    told: list[tuple[int, int]] = []
    settings = SimulateSettings(runner="ray", draws=60, horizon=8)
    on_ray = run(filled, settings, lambda done, total, what: told.append((done, total)))
    assert on_ray.wrote["run"] == report.wrote["run"]
    assert len(kept(filled, report.wrote["run"])) == report.wrote["rows"], "kept once"
    assert told[-1][0] == told[-1][1] == len(told) > 1


# what is refused


def test_too_few_randomised_contacts_are_one_line(filled: Workspace) -> None:
    with pytest.raises(NotEnough, match="at least 10 leads in each arm that went forward"):
        simulated(filled, as_of="2025-01-27T00:00:00+00:00")


def test_too_short_a_history_is_one_line(filled: Workspace) -> None:
    with pytest.raises(NotEnough, match="a forecast needs at least"):
        simulated(filled, scenario="baseline", as_of="2025-01-09T00:00:00+00:00")


def test_what_the_log_does_not_have_is_one_line(filled: Workspace, tmp_path: Path) -> None:
    path = written(tmp_path, levers=[LEVER | {"segments": ["frence"]}])
    with pytest.raises(WrongUse, match="did you mean 'france'") as caught:
        simulated(filled, scenario=path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenario": "outreech"}, "did you mean 'outreach.yaml'"),
        ({"draws": 0}, "greater than or equal to 1"),
        ({"horizon": 1000}, "less than or equal to 520"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_a_wrong_option_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongUse, match=message) as caught:
        question.load(SimulateSettings(**options))
    assert "\n" not in str(caught.value)


def test_an_empty_workspace_says_what_to_run_first(workspace: Workspace) -> None:
    with pytest.raises(WrongUse, match="ingest"):
        simulated(workspace)
