"""A training finds what was planted, admits what is not there, and publishes what it judged."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from cluster import canonical
from cluster.errors import Refusal, WrongUse
from cluster.settings import Settings
from cluster.workspace import Workspace
from features import views
from jobs import console
from jobs.train import run as training
from jobs.train import search
from jobs.train.settings import TrainSettings
from serving.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def _keep(workspace: Workspace, table: pa.Table) -> int:
    workspace.tables.create("training_planted", table.schema)
    return workspace.tables.replace("training_planted", table)


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
    batch = model.score(model.encode(rows)).probability
    alone = [model.score(model.encode([row])).probability[0] for row in rows.to_pylist()]
    assert batch.tolist() == alone
    assert model.score(model.encode(rows.to_pandas())).probability.tobytes() == batch.tobytes()


def test_the_manifest_pins_what_the_model_was_made_from(trained: Trained) -> None:
    """Snapshot, target and view versions, metrics and counts."""
    said = trained.models.manifest(trained.done.report["wrote"]["alias"])[1].provenance
    settings = TrainSettings(target=trained.target)
    declared = training.Pinned.of(trained.workspace, settings).target
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
    assert set(evaluation["segments"]["origin"]) == {"ad", "event", "mail"}
    assert len(evaluation["periods"]["period"]) == 4
    assert evaluation["fairness"]["groups"] == evaluation["segments"]
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
                _die(opened, target, monkeypatch)
            ids.append(_train(opened, target, trials=5).report["wrote"]["model"])
    assert ids[0] == ids[1]


def _die(workspace: Workspace, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = search._Search.tell

    def dying(run: Any, first: int) -> None:
        told(run, first)
        if first == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(search._Search, "tell", dying)
        _train(workspace, target, trials=5)


@pytest.mark.parametrize(
    ("rows", "positive", "words"),
    [
        (150, 0.5, "training takes 200 mature rows, got 100: ingest more history"),
        (600, 0.01, "training takes 20 rows of either outcome"),
    ],
)
def test_too_few_rows_are_refused_in_one_line(
    workspace: Workspace, target: str, rows: int, positive: float, words: str
) -> None:
    """Nothing is published."""
    table, _ = _training(rows)
    label = pa.array(np.arange(rows) % round(1 / positive) == 0)
    _keep(workspace, table.set_column(3, "label", label))
    with pytest.raises(training.TrainingRefused, match=words) as refused:
        _train(workspace, target)
    assert "\n" not in str(refused.value)
    assert workspace.refs.get("models/planted/stable") is None


def test_no_table_is_wrong_use_with_what_to_do(workspace: Workspace, target: str) -> None:
    """Rows come from another job."""
    with pytest.raises(WrongUse, match=r"must have rows, got none: python -m jobs.materialize"):
        _train(workspace, target)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"test_share": 0.9}, {"runner": "rocket"}])
def test_wrong_settings_are_refused(
    workspace: Workspace, target: str, wrong: dict[str, Any]
) -> None:
    """By name and value."""
    _keep(workspace, _training(800)[0])
    with pytest.raises(WrongUse, match=str(next(iter(wrong.values())))):
        _train(workspace, target, **wrong)


def test_settings_have_the_defaults_of_the_manual() -> None:
    """They become the options of the command."""
    assert asdict(TrainSettings(target="t")) == {
        "target": "t",
        "trials": 24,
        "minutes": None,
        "seed": 7,
        "runner": "auto",
        "snapshot": None,
        "purge": True,
        "test_share": 0.2,
        "leaks": "report",
    }
