"""A training finds what was planted, admits what is not there, and publishes what it judged."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from cluster import canonical, session
from cluster.access.privacy import Privacy
from cluster.errors import Refusal, WrongUse
from cluster.settings import Settings
from cluster.workspace import Workspace
from features import views
from features.targets import load_target
from jobs import console
from jobs.report import gather
from jobs.report import page as reported
from jobs.train import run as training
from jobs.train.settings import TrainSettings
from serving.card import page
from serving.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.model import Model

HOUR = 3_600_000_000
START = 1_700_000_000_000_000
NOW = datetime(2026, 3, 1, tzinfo=UTC)
TARGET = {
    "name": "planted",
    "description": "Will the lead qualify?",
    "entity": "lead",
    "anchor": {"kind": "lead", "names": ["created"]},
    "horizon_days": 5,
    "label": {"kind": "lead", "names": ["qualified"]},
    "views": ["lead_engagement"],
    "rules": [
        {
            "name": "from events",
            "when": {"feature": "origin", "op": "equals", "value": "event"},
            "points": 10,
        }
    ],
}


def _training(rows: int, strength: float = 1.0, seed: int = 0) -> tuple[pa.Table, np.ndarray]:
    """Return lead rows and their true probabilities: visits and origin tell, the rest is noise."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        f.name: rng.integers(0, 5, rows) if f.type != pa.string() else pa.nulls(rows, pa.string())
        for f in views.view("lead_engagement").features
    }
    visits, origin = rng.poisson(4, rows), rng.integers(0, 3, rows)
    columns["web_visits_30d"] = pa.array(visits, mask=rng.random(rows) < 0.05)
    columns["origin"] = pa.array(np.array(["ad", "event", "mail"])[origin])
    truth = 1 / (1 + np.exp(1 - strength * (0.5 * (visits - 4) + 1.5 * (origin == 1))))
    times = START + np.arange(rows) * HOUR
    spine = {
        "entity": [f"lead-{i:05d}" for i in range(rows)],
        "account": pa.array([f"a{i // 2}" if i % 3 else None for i in range(rows)]),
        "time": pa.array(times, pa.timestamp("us", tz="UTC")),
        "label": rng.random(rows) < truth,
        "mature": np.arange(rows) < rows - 50,
    }
    return pa.table({**spine, **columns}), truth


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A workspace in which one training was done."""

    workspace: Workspace
    target: str
    snapshot: int
    table: pa.Table
    truth: np.ndarray
    done: console.Done

    @property
    def models(self) -> Registry:
        """Its registry."""
        return Registry(self.workspace.blobs, self.workspace.refs, self.workspace.journal)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """Train once on 3,000 rows, for the tests that look at different sides of it."""
    folder = tmp_path_factory.mktemp("trained")
    target = _declared(folder)
    table, truth = _training(rows=3000)
    with Workspace.open(Settings(home=folder / "home"), clock=lambda: NOW) as opened:
        snapshot = _keep(opened, table)
        yield Trained(
            workspace=opened,
            target=target,
            snapshot=snapshot,
            table=table,
            truth=truth,
            done=_train(opened, target, trials=8),
        )


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    """Open an empty workspace whose clock stands still."""
    with Workspace.open(settings, clock=lambda: NOW) as opened:
        yield opened


@pytest.fixture
def target(tmp_path: Path) -> str:
    """Declare the target in a file of its own."""
    return _declared(tmp_path)


def _declared(folder: Path, **changes: Any) -> str:
    path = folder / "planted.yaml"
    path.write_text(yaml.safe_dump(TARGET | changes))
    return str(path)


def _keep(workspace: Workspace, table: pa.Table, name: str = "planted") -> int:
    workspace.tables.create(f"training_{name}", table.schema)
    return workspace.tables.replace(f"training_{name}", table)


def _train(workspace: Workspace, target: str, **changes: Any) -> console.Done:
    options = {"target": target, "trials": 2, "runner": "inline", **changes}
    settings = TrainSettings(**options)
    return console.perform(training.JOB, settings, workspace, lambda *_: None)


def _scorers(done: console.Done) -> dict[str, Any]:
    scorers: dict[str, Any] = done.report["figures"]["evaluation"]["scorers"]
    return scorers


def test_a_planted_signal_is_found_as_strong_as_it_is(trained: Trained) -> None:
    """AUC within 0.04 of what the true probabilities reach on the same rows; calibrated; said."""
    last = slice(2950 - 590, 2950)
    best_possible = roc_auc_score(np.asarray(trained.table["label"])[last], trained.truth[last])
    model, base = _scorers(trained.done)["model"], _scorers(trained.done)["base_rate"]
    assert model["auc"]["value"] == pytest.approx(best_possible, abs=0.04)
    assert model["calibration_slope"]["value"] == pytest.approx(1, abs=0.3)
    assert model["log_loss"]["high"] < base["log_loss"]["value"]
    said = " ".join(trained.done.report["decided"])
    assert "Signal: the model ranks later rows better than a coin" in said
    assert "on later rows the model is better than the rules" in said


def test_the_published_model_scores_alike_alone_and_in_a_batch(trained: Trained) -> None:
    """Loaded again, on 200 rows, to the last bit; from a table as from a frame."""
    stable = trained.models.stable("planted")
    assert not isinstance(stable, Refusal)
    id, model = stable
    assert id == trained.done.report["wrote"]["model"]
    rows = trained.table.slice(0, 200)
    batch, one_by_one = _scored(model, rows), [_scored(model, [row]) for row in rows.to_pylist()]
    assert batch.tobytes() == np.concatenate(one_by_one).tobytes()
    assert _scored(model, rows.to_pandas()).tobytes() == batch.tobytes()


def _scored(model: Model, rows: Any) -> np.ndarray:
    return model.score(model.encode(rows), model.points(rows)).probability


def test_the_manifest_pins_what_the_model_was_made_from(trained: Trained) -> None:
    """Snapshot, target and view versions, metrics and counts."""
    said = trained.models.manifest(trained.done.report["wrote"]["alias"])[1].provenance
    declared = load_target(trained.target)
    assert said.training_table == "training_planted"
    assert said.training_snapshot == str(trained.snapshot)
    assert said.target_version == declared.version
    assert said.views == {"lead_engagement": declared.features.version}
    assert said.metrics["evaluation"] == trained.done.report["figures"]["evaluation"]
    assert (said.metrics["rows"], said.metrics["immature"]) == (2950, 50)


def test_the_report_is_plain_json_with_counts_curves_and_a_table(trained: Trained) -> None:
    """Five days of a row an hour reach into the test: 119 rows before it are purged."""
    report = trained.done.report
    assert json.loads(canonical.dumps(report)) == report
    assert report["read"]["purged"] == 119
    assert {"calibration_curve", "lift_curve", "signal"} <= set(report["figures"]["evaluation"])
    assert [row[0] for row in report["table"]["data"]][:2] == ["auc", "average_precision"]


def test_the_same_again_does_nothing(trained: Trained) -> None:
    """Unchanged inputs, unchanged model, one move of the ref."""
    again = _train(trained.workspace, trained.target, trials=8)
    assert again.unchanged
    assert again.report == trained.done.report
    assert len(trained.workspace.refs.history("models/planted/stable")) == 1


def test_shuffled_labels_are_called_no_signal(workspace: Workspace, target: str) -> None:
    """In words, with the interval that holds 0.5, in the report and in the model card."""
    table, _ = _training(1000)
    shuffled = np.random.default_rng(5).permutation(np.asarray(table["label"]))
    _keep(workspace, table.set_column(3, "label", pa.array(shuffled)))
    done = _train(workspace, target, trials=4)
    auc = _scorers(done)["model"]["auc"]
    assert auc["low"] <= 0.5 <= auc["high"]
    says = "No signal: the model cannot be told from a coin"
    assert any(line.startswith(says) for line in done.report["decided"])
    models = Registry(workspace.blobs, workspace.refs, workspace.journal)
    assert says in models.manifest(done.report["wrote"]["model"])[1].provenance.card


def test_the_newest_rows_are_trained_on_unless_a_snapshot_is_named(
    workspace: Workspace, target: str
) -> None:
    """Another snapshot is another run, and another model."""
    first, second = (_keep(workspace, _training(rows)[0]) for rows in (800, 1400))
    newest = _train(workspace, target)
    older = _train(workspace, target, snapshot=first)
    assert newest.report["read"] | {"snapshot": second, "rows": 1350} == newest.report["read"]
    assert older.report["read"] | {"snapshot": first, "rows": 750} == older.report["read"]
    assert newest.report["wrote"]["model"] != older.report["wrote"]["model"]
    assert newest.report["figures"]["live"] is None
    assert any(line.startswith("not compared with the live") for line in older.report["decided"])


def test_a_model_is_compared_with_the_live_one_on_rows_that_neither_has_seen(
    workspace: Workspace, target: str
) -> None:
    """Published first, judged against afterwards; it is not part of the bundle, which stays."""
    _keep(workspace, _training(900)[0])
    first = _train(workspace, target)
    assert not any("live model" in line for line in first.report["decided"])
    second = _train(workspace, target, trials=3)
    assert set(second.report["figures"]["live"]["scorers"]) == {"model", "live"}
    assert any("live model on later rows (log loss" in line for line in second.report["decided"])


def test_groups_of_the_later_rows_are_judged_by_themselves(
    workspace: Workspace, tmp_path: Path
) -> None:
    """By segment, by period, and by what must be treated alike."""
    target = _declared(tmp_path, segments=["origin"], fairness=["origin"])
    _keep(workspace, _training(1500)[0])
    evaluation = _train(workspace, target).report["figures"]["evaluation"]
    assert set(evaluation["groups"]) == {"origin", "period"}
    assert set(evaluation["groups"]["origin"]) == {"ad", "event", "mail"}
    assert len(evaluation["groups"]["period"]) == 4
    assert evaluation["fairness"]["attributes"] == ["origin"]
    assert evaluation["costs"]["threshold"] == 0.5


def test_purging_can_be_switched_off_and_time_can_be_over(
    workspace: Workspace, target: str
) -> None:
    """No row is purged; without time there is the one trial that is always made."""
    _keep(workspace, _training(800)[0])
    report = _train(workspace, target, purge=False, minutes=0.0, trials=9).report
    assert report["read"]["purged"] == 0
    assert report["figures"]["search"]["complete"] == 1


def test_a_training_that_died_publishes_the_same_model_when_done_again(
    settings: Settings, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id of the bundle, and so every byte of it, is that of an undisturbed run."""
    ids = []
    for dies in (False, True):
        home = settings.model_copy(update={"home": tmp_path / str(dies)})
        with Workspace.open(home, clock=lambda: NOW) as opened:
            monkeypatch.setattr(opened.tables, "head", lambda _: 5)
            monkeypatch.setattr(opened.tables, "read", lambda *_: _training(800)[0])
            if dies:
                _die(opened, target)
            ids.append(_train(opened, target, trials=5).report["wrote"]["model"])
    assert ids[0] == ids[1]


def _die(workspace: Workspace, target: str) -> None:
    def dying(done: int, total: int, what: str) -> None:
        if what == "trials" and 2 <= done < total:
            raise KeyboardInterrupt

    settings = TrainSettings(target=target, trials=5, runner="inline")
    with pytest.raises(KeyboardInterrupt):
        console.perform(training.JOB, settings, workspace, dying)


@pytest.mark.parametrize(
    ("mature", "positive", "words"),
    [
        (0, 0.5, "rules only: 0 labelled rows to learn from, trees take 20"),
        (7, 0.5, "rules only: 7 labelled rows to learn from, trees take 20"),
        (100, 0.0, "rules only: 100 labelled rows to learn from"),
        (150, 0.2, "not searched: 150 labelled rows to learn from, a search takes 200"),
        (550, 0.01, "not searched: 550 labelled rows to learn from"),
    ],
)
def test_few_labels_give_a_model_that_says_so(
    workspace: Workspace, target: str, mature: int, positive: float, words: str
) -> None:
    """Published without a judgement, which its card, its registry and its report do without."""
    table, _ = _training(600)
    places = np.arange(600)
    label = pa.array(places % round(1 / positive) == 0 if positive else places < 0)
    table = table.set_column(3, "label", label)
    _keep(workspace, table.set_column(4, "mature", pa.array(places < mature)))
    report = _train(workspace, target).report
    assert any(line.startswith(words) for line in report["decided"])
    assert any(line.startswith(f"not judged: {mature} labelled rows") for line in report["decided"])
    assert (report["table"], report["figures"]["evaluation"]) == (None, None)
    models = Registry(workspace.blobs, workspace.refs, workspace.journal)
    found = models.stable("planted")
    assert not isinstance(found, Refusal)
    _it_answers(found[1], table, is_silent=words.startswith("rules only"))
    packed = models.bundle(found[0])[1]
    assert "Not judged" in page.html(packed.manifest, packed.booster)
    part, no_forecast = (
        gather.model_part(workspace, target, Privacy.PERSONAL),
        Refusal(rule="", value="", remedy=""),
    )
    assert "Not judged" in reported.render(
        [part], no_forecast, top=3, as_of="today", shows=Privacy.PERSONAL
    )
    assert words in models.manifest(found[0])[1].provenance.card


def _it_answers(model: Model, table: pa.Table, *, is_silent: bool) -> None:
    scores = model.score(model.encode(table), model.points(table))
    from_events = np.array(table["origin"].to_pylist()) == "event"
    assert scores.probability[from_events].mean() > scores.probability[~from_events].mean()
    assert (scores.margin == 0).all() == is_silent
    low, high = model.calibrator.intervals(scores.probability)
    assert (high > 4 * low).mean() > 0.9


def test_from_199_rows_to_201_nothing_jumps(workspace: Workspace, target: str) -> None:
    """Where a search begins: probabilities move by far less than the intervals are wide."""
    table, _ = _training(1000)
    found = []
    for mature in (199, 201):
        _keep(workspace, table.set_column(4, "mature", pa.array(np.arange(1000) < mature)))
        report = _train(workspace, target).report
        assert ("search" in report["figures"]) == (mature > 200)
        found.append(_published(workspace))
    first, second = (_scored(m, table) for m in found)
    low, high = found[1].calibrator.intervals(second)
    assert np.abs(second - first).mean() < 0.15 * (high - low).mean()


def _published(workspace: Workspace) -> Model:
    found = Registry(workspace.blobs, workspace.refs, workspace.journal).stable("planted")
    assert not isinstance(found, Refusal)
    return found[1]


def test_the_first_judged_model_is_compared_with_one_that_learnt_nothing(
    workspace: Workspace, target: str
) -> None:
    """The live one goes by the rules alone, and has seen no row."""
    table, _ = _training(900)
    _keep(workspace, table.set_column(4, "mature", pa.array(np.zeros(900, bool))))
    assert _train(workspace, target).report["figures"]["live"] is None
    _keep(workspace, table)
    second = _train(workspace, target).report
    assert set(second["figures"]["live"]["scorers"]) == {"model", "live"}
    assert any(line.startswith("better than the live model") for line in second["decided"])


def test_rules_have_their_say_and_a_leak_among_them_has_none(
    workspace: Workspace, tmp_path: Path
) -> None:
    """A rule about no column is wrong use; one about a column that is left out is left out too."""
    rules = [*TARGET["rules"], _rule("content_30d")]
    table, _ = _training(900)
    known = pa.array(np.where(np.asarray(table["label"]), 1, 0))
    place = table.column_names.index("content_30d")
    _keep(workspace, table.set_column(place, "content_30d", known))
    target = _declared(tmp_path, rules=rules)
    kept = _train(workspace, target).report
    assert [rule.name for rule in _published(workspace).rules] == ["from events", "content_30d"]
    left = _train(workspace, target, leaks="exclude").report
    assert [rule.name for rule in _published(workspace).rules] == ["from events"]
    said = "without the rules of columns left out: content_30d"
    assert [any(said in line for line in each["decided"]) for each in (kept, left)] == [False, True]
    with pytest.raises(WrongUse, match="did you mean 'content_30d'"):
        _train(workspace, _declared(tmp_path, rules=[_rule("contents_30d")]))


def _rule(feature: str) -> dict[str, Any]:
    when = {"feature": feature, "op": "at_least", "value": 1}
    return {"name": feature, "when": when, "points": 10}


def test_another_number_of_workers_finds_as_good_a_model(
    settings: Settings, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same number the same bundle, byte for byte."""
    table, _ = _training(800)
    ids, losses = [], []
    for run, workers in enumerate((1, 1, 3)):
        home = settings.model_copy(update={"home": tmp_path / str(run)})
        monkeypatch.setattr(session, "cores", lambda _, found=workers: found)
        with Workspace.open(home, clock=lambda: NOW) as opened:
            monkeypatch.setattr(opened.tables, "head", lambda _: 5)
            monkeypatch.setattr(opened.tables, "read", lambda *_: table)
            report = _train(opened, target, trials=6).report
        ids.append(report["wrote"]["model"])
        losses.append(report["figures"]["search"]["loss"])
    assert ids[0] == ids[1]
    assert losses[2] == pytest.approx(losses[0], rel=0.02)


def test_an_empty_table_is_wrong_use_with_what_to_do(workspace: Workspace, target: str) -> None:
    """Not one row, with a label or without."""
    _keep(workspace, _training(300)[0].slice(0, 0))
    with pytest.raises(WrongUse, match=r"must have rows, got none: python -m jobs.materialize"):
        _train(workspace, target)


def test_no_table_is_wrong_use_with_what_to_do(workspace: Workspace, target: str) -> None:
    """Rows come from another job."""
    with pytest.raises(WrongUse, match=r"must have rows, got none: python -m jobs.materialize"):
        _train(workspace, target)


@pytest.mark.parametrize(
    "wrong", [{"trials": 0}, {"test_share": 0.9}, {"runner": "rocket"}, {"tolerance": -1}]
)
def test_wrong_settings_are_refused(
    workspace: Workspace, target: str, wrong: dict[str, Any]
) -> None:
    """By name and value."""
    _keep(workspace, _training(800)[0])
    with pytest.raises(WrongUse, match=str(next(iter(wrong.values())))):
        _train(workspace, target, **wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"target": "a,"}, "must name each target once, got 'a,'"),
        ({"target": "a,b,a"}, "must name each target once, got 'a,b,a'"),
        ({"target": "a,b", "snapshot": 3}, "must come with one target, got several"),
    ],
)
def test_several_targets_are_asked_for_once_each(wrong: dict[str, Any], said: str) -> None:
    """And a snapshot is of one table."""
    with pytest.raises(WrongUse, match=said):
        TrainSettings(**wrong)


def test_a_target_by_two_names_is_one(workspace: Workspace, target: str) -> None:
    """A file and another path to it."""
    _keep(workspace, _training(300)[0])
    other = str(Path(target).parent / "." / ".." / Path(target).parent.name / "planted.yaml")
    with pytest.raises(WrongUse, match="each target once, got planted, planted"):
        _train(workspace, f"{target},{other}")


@pytest.mark.drill
def test_targets_trained_side_by_side_are_as_those_trained_alone(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Bit for bit the same models; one report says both, and is unchanged as long as both live."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (_declared(at, name=at.name, rules=[]) for at in folders)
    for seed, name in enumerate(("one", "two")):
        table, _ = _training(600 + 100 * seed, seed=seed)
        _keep(workspace, table, name)
    done = _train(workspace, f"{one},{two}", trials=6)
    models = done.report["wrote"]["models"]
    assert len(done.report["table"]["data"]) > 0
    assert {line.split(":")[0] for line in done.report["decided"]} == {"one", "two"}
    assert _train(workspace, f"{one},{two}", trials=6).unchanged
    shutil.rmtree(workspace.settings.home / "studies")
    alone = [_train(workspace, each, trials=6).report["wrote"] for each in (one, two)]
    assert models == {each["alias"]: each["model"] for each in alone}
    _train(workspace, two, trials=6, test_share=0.3)
    assert not _train(workspace, f"{one},{two}", trials=6).unchanged


def test_a_model_that_answers_faster_may_be_chosen(workspace: Workspace, target: str) -> None:
    """The cheapest within the tolerance; the report and the card show what it was chosen from."""
    _keep(workspace, _training(800)[0])
    best = _train(workspace, target, trials=8).report
    given = _train(workspace, target, trials=8, tolerance=1.0).report
    front = given["figures"]["search"]["front"]
    assert [each["chosen"] for each in front] == [False] * (len(front) - 1) + [True]
    chosen = {each["trial"] for each in best["figures"]["search"]["front"] if each["chosen"]}
    assert chosen == {front[0]["trial"]}
    assert front[-1]["cost"] < front[0]["cost"]
    assert any("(chosen)" in line for line in given["decided"])


def test_settings_have_the_defaults_of_the_manual() -> None:
    """They become the options of the command."""
    assert asdict(TrainSettings(target="t")) == {
        "target": "t",
        "trials": 24,
        "minutes": None,
        "tolerance": 0.0,
        "seed": 7,
        "runner": "auto",
        "snapshot": None,
        "purge": True,
        "test_share": 0.2,
        "leaks": "report",
    }
