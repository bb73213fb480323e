"""jobs.score: every open entity has its score, once, whatever happens on the way; and read back."""

from __future__ import annotations

import itertools
import runpy
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cluster.errors import WrongUse
from cluster.settings import Settings
from cluster.tables import Tables
from cluster.workspace import Workspace
from features.consent import Keeper
from jobs import console
from jobs.console import perform
from jobs.score import look, parts, step
from jobs.score import run as scoring
from serving import batch
from serving.batch import Scorer
from tests.jobs import scoring as shared
from tests.jobs.scoring import NAME, THEN, Company

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.score.work import Place

TABLE = f"scores_{NAME}"
LATER = THEN + timedelta(hours=30)  # no event is known between, but for those known late


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Return a company with a model, scored as of THEN and again as of LATER."""
    folder = tmp_path_factory.mktemp("scored")
    with Workspace.open(Settings(home=folder / "home", buckets=4)) as workspace:
        made = shared.company(workspace, folder)
        made.append(shared.known(THEN))
        made.train(made.look(THEN))
        made.score()
        made.look(LATER)
        made.score()
        yield made


NUMBERS = itertools.count(1)


@pytest.fixture
def again(company: Company) -> Company:
    """Return the company when its scores are to be made anew: what is steady is told otherwise."""
    return replace(company, options={"runner": "inline", "steady": 0.2 + next(NUMBERS) / 1000})


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of each part that is scored."""
    take, seen = step.take, []

    def counted(place: Place, number: int) -> int:
        seen.append(number)
        return take(place, number)

    monkeypatch.setattr(step, "take", counted)
    return seen


def _commits(company: Company) -> int:
    return len(company.workspace.tables.history(TABLE))


def _interrupted(company: Company) -> None:
    """Press Ctrl-C when the first part is done."""
    told: list[int] = []

    def press(done: int, every: int, what: str) -> None:
        told.append(done)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(scoring.JOB, company.settings(), company.workspace, press)


def test_each_open_entity_has_one_score(company: Company) -> None:
    """As many as rows, in one commit for each scoring."""
    tables = company.workspace.tables
    rows = tables.read(f"scoring_{NAME}", columns=["entity"])["entity"].to_pylist()
    assert len(rows) > 20
    assert _commits(company) == 2
    refused = Keeper(company.workspace).look().are_refused(pa.array(rows))
    assert 0 < refused.sum() < len(rows) / 2  # who forbade to be scored has a row and no score
    allowed = [row for row, is_out in zip(rows, refused, strict=True) if not is_out]
    assert sorted(batch.frame(company.workspace, company.target)["entity"]) == sorted(allowed)


def test_what_was_scored_before_an_interruption_is_not_scored_again(
    again: Company, taken: list[int]
) -> None:
    """Nothing is to be seen until all is done; then in one commit."""
    before = _commits(again)
    _interrupted(again)
    assert _commits(again) == before
    again.score()
    assert sorted(taken) == list(range(4))
    assert _commits(again) == before + 1


def test_a_record_that_nobody_reads_is_noticed(
    again: Company, taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: every part is to be done."""
    _interrupted(again)
    monkeypatch.setattr(parts, "todo", lambda place: [0, 1, 2, 3])
    again.score()
    assert len(taken) > 4


@pytest.mark.parametrize("is_mutant", [False, True])
def test_killed_after_the_commit_it_is_not_committed_again(
    again: Company, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """Mutant: a run that does not look at what is committed."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scoring, "_stale", die)
        again.score()
    before = _commits(again)
    if is_mutant:
        monkeypatch.setattr(parts, "committed", lambda workspace, work: None)
    again.score()
    assert (_commits(again) == before) != is_mutant


@pytest.mark.parametrize("is_mutant", [False, True])
def test_no_scoring_ends_with_rows_missing(
    again: Company, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """A scorer that loses a row. Mutant: nobody counts, and the table is smaller."""
    score, before = Scorer.score, batch.frame(again.workspace, again.target)
    monkeypatch.setattr(Scorer, "score", lambda *given: score(*given).slice(1))
    if not is_mutant:
        with pytest.raises(step.RowsLost, match="every row must have its score"):
            again.score()
        assert len(batch.frame(again.workspace, again.target)) == len(before)
        return
    monkeypatch.setattr(step, "require_all", lambda read, scored: None)
    again.score()
    assert len(batch.frame(again.workspace, again.target)) < len(before)


def test_parts_that_get_lost_before_the_commit_are_missed(
    again: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is gone is no smaller table."""
    commit = parts.commit

    def lose(place: Place) -> int:
        record = parts.Parts(place.workspace.database)
        kept = record.resume(place.work.name, place.workspace.clock())
        record.drop(place.work.name, {kept[0].number})
        return commit(place)

    monkeypatch.setattr(parts, "commit", lose)
    with pytest.raises(parts.WorkLost, match="run the same command"):
        again.score()


def test_newer_scores_are_not_overwritten(again: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others scored the target between our look and our commit: `previous` would be wrong."""
    commit = Tables.commit_after

    def overtaken(tables: Tables, name: str, files: Any, **said: Any) -> int | None:
        monkeypatch.setattr(Tables, "commit_after", commit)
        tables.replace(TABLE, tables.read(TABLE))
        return commit(tables, name, files, **said)

    monkeypatch.setattr(Tables, "commit_after", overtaken)
    with pytest.raises(parts.Overtaken, match="got newer scores"):
        again.score()
    assert again.score()["wrote"]["rows"] > 20


def test_a_changed_policy_is_another_scoring(again: Company) -> None:
    """Though its name and its file are the same."""
    again.score()
    assert again.score()["unchanged"]
    again.route(routes=[{"route": "all", "at_least": 0, "reason": "one for all"}])
    report = again.score()
    again.route()
    assert not report["unchanged"]
    assert list(report["figures"]) == ["all"]


def test_old_features_are_told(again: Company) -> None:
    """In one line, with what to do."""
    assert not [line for line in again.score()["decided"] if "older" in line]
    again.append(shared.known(THEN + timedelta(days=2), after=THEN))
    (line,) = [line for line in again.score()["decided"] if "older" in line]
    assert "more events: python -m jobs.materialize --target lead_qualification" in line


def test_scores_stand_beside_the_last_ones(company: Company) -> None:
    """Previous, change and trend, all from the snapshot before."""
    first, second = (c.snapshot for c in company.workspace.tables.history(TABLE)[:2])
    before = batch.frame(company.workspace, company.target, first).set_index("entity")
    after = batch.frame(company.workspace, company.target, second).set_index("entity")
    assert before["previous"].isna().all()
    assert before["trend"].isna().all()
    assert (after["previous"] == before["probability"].reindex(after.index)).all()
    assert (after["change"] == after["probability"] - after["previous"]).all()
    moved = np.log(batch.odds(after["probability"])) - np.log(batch.odds(after["previous"]))
    assert ((after["trend"] == "steady") == (moved.abs() < batch.STEADY)).all()


def test_an_entity_is_compared_with_its_like(company: Company) -> None:
    """The median of those that came the same way; few are compared with nobody."""
    first = company.workspace.tables.history(TABLE)[0].snapshot
    scores = batch.frame(company.workspace, company.target, first)
    usual = scores.groupby("segment", observed=True)["probability"].agg(["median", "size"])
    told = scores.dropna(subset="usual")
    assert len(told) >= batch.LEAST_LIKE
    assert (told["usual"] == told["segment"].map(usual["median"]).astype(float)).all()
    assert (told["segment"].map(usual["size"]).astype(int) >= batch.LEAST_LIKE).all()
    some = told.iloc[0]
    odds = some["probability"] / (1 - some["probability"]) * (1 - some["usual"]) / some["usual"]
    assert some["against_usual"] == pytest.approx(odds)


def test_a_frame_has_types(company: Company) -> None:
    """Times with their zone, routes as categories, reasons only when asked for."""
    plain = batch.frame(company.workspace, company.target)
    assert str(plain["time"].dtype) == "datetime64[us, UTC]"
    assert isinstance(plain["route"].dtype, pd.CategoricalDtype)
    assert "reasons" not in plain
    assert plain["probability"].is_monotonic_decreasing
    with_reasons = batch.frame(company.workspace, company.target, reasons=True)
    assert with_reasons["reasons"][0][0]["text"]


def test_trends_are_told_from_noise() -> None:
    """By log-odds; no score before, no trend."""
    before = np.array([0.5, 0.5, 0.5, 0.01, np.nan])
    after = np.array([0.54, 0.56, 0.4, 0.02, 0.9])
    assert batch.trends(before, after, 0.2) == ["steady", "rising", "falling", "rising", None]


def test_nobody_is_usual_alone() -> None:
    """Too few of a segment, no segment, no rows at all."""
    many = ["late"] * batch.LEAST_LIKE + ["early"] * 3 + [None] * 20
    assert batch.usual(many, np.linspace(0, 1, len(many))).keys() == {"late"}
    assert batch.usual([], np.empty(0)) == {}


def _look(company: Company, action: str, **options: Any) -> dict[str, Any]:
    given = {"target": str(company.folder / "target.yaml")} | options
    settings = look.LookSettings(action=action, **given)
    return perform(look.JOB, settings, company.workspace, lambda *_: None).report


def _table(report: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(report["table"]["data"], columns=report["table"]["columns"])


def test_the_highest_scores_are_shown_with_reasons(company: Company) -> None:
    """By probability, or by how much they stand out among their like."""
    scores = batch.frame(company.workspace, company.target)
    report = _look(company, "show", top=3)
    assert list(_table(report)["entity"]) == list(scores["entity"][:3])
    assert all(_table(report)["reason"])
    assert list(report["figures"]["reasons"]) == list(scores["entity"][:3])
    unusual = _table(_look(company, "show", by="usual", top=5))["against_usual"]
    assert unusual.is_monotonic_decreasing
    assert unusual[0] == pytest.approx(scores["against_usual"].max())


def test_the_course_of_one_is_shown(company: Company) -> None:
    """One line per snapshot of scores."""
    entity = batch.frame(company.workspace, company.target)["entity"][0]
    shown = _look(company, "show", entity=entity)
    kept = [c.snapshot for c in company.workspace.tables.history(TABLE)]
    assert set(_table(shown)["snapshot"]) <= set(kept)
    assert len(shown["decided"]) > 1
    with pytest.raises(WrongUse, match="check the id"):
        _look(company, "show", entity="nobody")


@pytest.mark.parametrize(
    "options", [{"top": 0}, {"by": "usul"}, {"entity": "x", "top": 2}, {"html": "page.html"}]
)
def test_a_question_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    """Before anything is read."""
    with pytest.raises(WrongUse):
        look.LookSettings(action="show", target=NAME, **options)


@pytest.mark.parametrize(
    ("words", "job"), [(["--target", "x"], scoring.JOB), (["why"], look.JOB), (["wy"], look.JOB)]
)
def test_a_word_asks_for_a_look(
    words: list[str], job: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is spelt wrong, which is then told; options alone ask for a scoring."""
    asked: list[object] = []
    monkeypatch.setattr(sys, "argv", ["score", *words])
    monkeypatch.setattr(console, "main", asked.append)
    runpy.run_module("jobs.score.__main__")
    assert asked == [job]


def test_nothing_scored_says_what_to_do(workspace: Workspace, tmp_path: Path) -> None:
    """No table yet."""
    made = Company(workspace=workspace, folder=tmp_path)
    made.declare()
    with pytest.raises(batch.NoScores, match="run python"):
        _look(made, "show")


@pytest.mark.drill
@pytest.mark.ray
def test_both_runners_give_the_same_scores(again: Company, ray_session: None) -> None:
    """On two nodes, in one commit, with what is usual; but for when they were made."""
    wanted = [name for name in batch.SCHEMA.names if name not in {"scored_at", "previous"}]
    wanted = [name for name in wanted if name not in {"change", "trend"}]  # beside other scores
    before = _commits(again)
    there = replace(again, options=again.options | {"runner": "ray"}).score()
    assert "runner: ray (asked for)" in there["decided"]
    assert _commits(again) == before + 1
    tables = again.workspace.tables
    one = tables.read(TABLE, columns=wanted).sort_by("entity").select(wanted)
    again.score(steady=0.3)
    assert tables.read(TABLE, columns=wanted).sort_by("entity").select(wanted).equals(one)
