"""The mirror in MLflow: what is told, that it is told once, and that it keeps secrets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster.errors import WrongUse
from cluster.settings import ROOT
from jobs.console import perform
from jobs.models import mirror, tracking
from jobs.models.run import JOB, ModelsSettings
from serving import bundle
from serving.registry import Registry
from tests.serving import hostile

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from jobs.models.mirror import Training

MLFLOW = "mlflow-skinny==3.17.2"
EVALUATION: dict[str, Any] = {
    "rows": 90,
    "signal": {"verdict": "signal"},
    "scorers": {
        "model": {"auc": {"value": 0.7, "low": 0.6, "high": 0.8}},
        "base_rate": {"calibration_slope": {"value": None, "low": None, "high": None}},
    },
    "differences": {"rules": {"auc": {"value": 0.1, "low": 0.0, "high": 0.2}}},
}


def _published(workspace: Workspace) -> str:
    models = Registry(workspace.blobs, workspace.refs, workspace.journal)
    whole, now = hostile.whole(), workspace.clock()
    found = models.publish(whole, "win", actor="ada", reason="because", now=now)
    models.point("models/win/v2", "models/win/stable", actor="eva", reason="named so", now=now)
    assert isinstance(found, str)
    return found


def _training(**metrics: Any) -> Training:
    """Return what is told of a bundle that says these metrics of itself."""
    packed = hostile.whole()
    said = bundle.read(packed.manifest)
    made = said.provenance.model_copy(update={"metrics": metrics})
    return mirror.training("ab" * 32, packed, said.model_copy(update={"provenance": made}))


def test_an_evaluation_is_told_with_its_intervals() -> None:
    """Of every scorer and of the model against it; what is not defined is left out."""
    told = _training(
        evaluation=EVALUATION,
        search={"loss": 0.4, "complete": 3, "params": {"max_depth": 4, "learning_rate": 0.1}},
        purged=2,
    )
    assert told.metrics == {
        "model/auc": 0.7,
        "model/auc_low": 0.6,
        "model/auc_high": 0.8,
        "against_rules/auc": 0.1,
        "against_rules/auc_low": 0.0,
        "against_rules/auc_high": 0.2,
        "rows": 90.0,
        "purged": 2.0,
        "search/loss": 0.4,
        "search/complete": 3.0,
    }
    assert told.params["max_depth"] == "4" and told.params["rounds"] == str(hostile.TREES)


def test_a_training_can_be_traced_to_its_rows_views_and_code() -> None:
    """By tags; the moment is that of the bundle."""
    told = _training()
    assert told.tags["funnelcast.bundle"] == told.bundle
    wanted = {"target": "win", "snapshot": "8843219000111222333", "views": "v@2"}
    for name, value in (wanted | {"code_version": "c"}).items():
        assert told.tags[f"funnelcast.{name}"] == value
    assert told.tags["mlflow.note.content"] == "A card."
    assert told.at_ms == datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1_000


def test_the_files_are_those_of_the_bundle_and_no_pickle() -> None:
    """Manifest, trees and card, from which the same model is unpacked."""
    told = _training()
    assert set(told.files) == {"bundle/manifest.json", "bundle/booster.ubj", "card.html"}
    manifest, trees = told.files["bundle/manifest.json"], told.files["bundle/booster.ubj"]
    bundle.unpack(manifest, trees)
    assert b"<html" in told.files["card.html"]


@pytest.mark.parametrize(
    "metrics",
    [
        {"evaluation": "none"},
        {"evaluation": {"scorers": [1], "differences": {"rules": {"auc": 3}}}},
        {"evaluation": {"scorers": {"x\n": {"auc": {"value": 1.0}}}}},
        {"search": {"params": ["max_depth"]}},
        {"flag": True, "no number": "0.7", "endless": float("inf"), "`": 1.0},
    ],
)
def test_what_is_no_metric_is_not_told(metrics: dict[str, Any]) -> None:
    """A manifest says what it likes; MLflow takes numbers under plain names."""
    assert _training(**metrics).metrics == {}


def test_texts_are_cut_to_what_every_mlflow_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long card, a long parameter."""
    monkeypatch.setattr(mirror, "MOST_TEXT", 3)
    monkeypatch.setattr(mirror, "MOST_PARAM", 5)
    told = _training()
    assert told.tags["mlflow.note.content"] == "A c"
    assert told.params["training_table"] == "train"


def test_somebody_must_say_where_mlflow_is() -> None:
    """The option, else the environment; never a folder of MLflow's own choice."""
    assert tracking.address("sqlite:///a.db", {tracking.ADDRESS: "x"}) == "sqlite:///a.db"
    assert tracking.address(None, {tracking.ADDRESS: "x"}) == "x"
    with pytest.raises(WrongUse, match="neither --uri nor MLFLOW_TRACKING_URI: give one"):
        tracking.address(None, {})


def test_without_the_client_one_line_says_what_to_install(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong use, before anything is told."""
    _published(workspace)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    settings = ModelsSettings(action="mirror", uri="sqlite:///never.db")
    with pytest.raises(WrongUse, match="got none: uv sync --extra mlflow"):
        perform(JOB, settings, workspace, lambda *_: None)


@pytest.mark.parametrize("target", [None, "other"])
def test_there_must_be_a_model(workspace: Workspace, target: str | None) -> None:
    """Of the target, or of any."""
    if target is not None:
        _published(workspace)
    settings = ModelsSettings(action="mirror", name=target, uri="sqlite:///never.db")
    with pytest.raises(WrongUse, match=f"got none of {target or 'any target'}: train one"):
        perform(JOB, settings, workspace, lambda *_: None)


SECRET = "Failed at\nhttps://eva:s3cret@host/api with token t0ken"


def test_what_opens_doors_is_not_shown() -> None:
    """Neither that in an address nor that of the environment."""
    said = str(tracking._failed("https://eva:s3cret@host", RuntimeError(SECRET)))
    assert "s3cret" not in said and "eva" not in said and "\n" not in said
    environ = {"MLFLOW_TRACKING_TOKEN": "t0ken"}
    assert tracking.shown(SECRET, environ).endswith("https://***@host/api with token ***")
    assert tracking.shown("https://eva:p@ss@host", {}) == "https://***@host"
    query = "postgresql://host/db?user=eva&password=top&sslmode=off"
    assert tracking.shown(query, {}) == "postgresql://host/db?user=eva&password=***&sslmode=off"


def test_without_the_rule_it_would_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above rests on it."""
    monkeypatch.setattr(tracking, "_USER", re.compile(r"(?!)"))
    assert "s3cret" in str(tracking._failed("https://host", RuntimeError(SECRET)))


def _environment(home: Path) -> Path:
    """Return the Python of an environment with MLflow beside all that this one has, or skip."""
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    place = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    # what stands here comes before what the project has, and only what it lacks is fetched
    (home / place / "project.pth").write_text(sysconfig.get_path("purelib"))
    install = [python, "-m", "pip", "install", "-q", MLFLOW]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"MLFLOW MISSING: {MLFLOW} cannot be installed, so nothing was told: "
                    f"{done.stderr.strip()[-300:]}")  # fmt: skip
    return python


def _told(python: Path, workspace: Workspace, uri: str, mode: str = "whole") -> dict[str, Any]:
    """Mirror in a process of that environment; returns what MLflow holds, {} if it died."""
    child = ROOT / "tests" / "jobs" / "child_mlflow.py"
    home = {"FUNNELCAST_HOME": str(workspace.settings.home), "FUNNELCAST_BUCKETS": "4"}
    environ = {**os.environ, **home, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, child, uri, mode],
        env=environ, cwd=workspace.settings.home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (0 if mode in ("whole", "blind") else 9), done.stderr
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


@pytest.mark.drill
def test_a_real_mlflow_shows_every_training_once(workspace: Workspace, tmp_path: Path) -> None:
    """However often a mirror is killed, and at whatever step; blind, it would tell it again."""
    python, id = _environment(tmp_path / "apart"), _published(workspace)
    uri = f"sqlite:///{tmp_path / 'mlflow' / 'kept.db'}"
    (tmp_path / "mlflow").mkdir()
    steps = ("log_batch", "log_artifacts", "set_terminated", "create_model_version")
    for step in (*steps, "set_registered_model_alias"):
        assert _told(python, workspace, uri, step) == {}
    held = _told(python, workspace, uri)
    assert held["new"] == {"runs": 0, "versions": 0, "aliases": 2}
    (run,), (version,) = held["runs"], held["versions"]
    assert (run["status"], run["tags"]["funnelcast.bundle"]) == ("FINISHED", id)
    assert version == {"bundle": id, "run": run["id"]}
    assert held["aliases"] == {"funnelcast.win": ["alias-v2", "stable"]}
    _must_hold_the_bundle(run)
    assert _told(python, workspace, uri)["new"] == {"runs": 0, "versions": 0, "aliases": 0}
    assert len(_told(python, workspace, uri, "blind")["runs"]) == 2


def _must_hold_the_bundle(run: dict[str, Any]) -> None:
    packed = hostile.whole()
    expected = mirror.training(packed.id, packed, bundle.read(packed.manifest))
    assert (run["metrics"], run["params"]) == (expected.metrics, expected.params)
    assert expected.tags.items() <= run["tags"].items()
    assert run["start"] == expected.at_ms
    assert set(run["files"]) == set(expected.files)
    for name, path in run["files"].items():
        assert Path(path).read_bytes() == expected.files[name]
