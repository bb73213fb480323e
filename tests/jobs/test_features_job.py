"""`python -m jobs.features`: the catalogue, versions side by side, the page, the way to Feast."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from cluster.settings import CONFIGS, ROOT, Settings
from cluster.workspace import Workspace
from features import engine, health, ingest, log
from features.contracts import load_contracts
from features.plan import Plan
from features.sources.world import WorldConfig, generate
from features.targets import load_target
from features.views import VIEWS, document, register, view
from features.views import aggregates as a
from features.views.language import Events, Where
from jobs import console
from jobs.features import export, sentences
from jobs.features.run import JOB, FeaturesSettings
from jobs.train import fit
from jobs.train.space import FIRST
from serving import bundle, model, registry
from serving.calibrator import Calibrator

if TYPE_CHECKING:
    from jobs.console import Report

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FEAST = ("feast==0.67.0", "pandas<3")
LEAD = view("lead_engagement")
TARGET = load_target("lead_qualification")
TRAINING, SCORING = TARGET.training_table, TARGET.scoring_table
OLD = replace(LEAD, features=LEAD.features[2:], owner="marketing")


def _materialized(workspace: Workspace, purpose: Any) -> int:
    snapshot = log.pinned(workspace.tables)
    as_of = log.latest(workspace.tables, snapshot)
    plan = Plan(target=TARGET, purpose=purpose, as_of=as_of, snapshot=snapshot)
    return engine.materialize(workspace, plan, "inline", quiet).snapshot


def _published(workspace: Workspace, rounds: int) -> str:
    """Publish a small model of two columns of the view; returns its id."""
    rng = np.random.default_rng(4)
    table = pa.table({"origin": ["a", "b"] * 100, "web_visits_30d": rng.poisson(3, 200)})
    signature = fit.signature(table, {name: name for name in table.column_names})
    label = (rng.random(200) < 0.3).astype(np.float32)
    types = tuple(model.feature_types(signature))
    data = fit.Data(matrix=signature.encode(table), label=label, types=types, folds=())
    made = model.Model(
        booster=fit.refit(data, FIRST, rounds),
        signature=signature,
        calibrator=Calibrator(),
    )
    said: dict[str, Any] = dict.fromkeys(
        ("target_version", "training_table", "training_snapshot", "code_version", "card"), "x"
    )
    provenance = bundle.Provenance(
        **said,
        target={"name": TARGET.name},
        views={LEAD.name: LEAD.version},
        metrics={},
        created_at=NOW,
    )
    packed = bundle.pack(made, table, provenance)
    models = registry.Registry(workspace.blobs, workspace.refs, workspace.journal)
    id = models.publish(packed, TARGET.name, actor="ada", reason="because", now=NOW)
    assert isinstance(id, str)
    return id


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Return a small world with rows, their health, two definitions of a view and two models."""
    home = tmp_path_factory.mktemp("features") / "home"
    with Workspace.open(Settings(home=home, buckets=2)) as opened:
        events = generate(WorldConfig(seed=3, scale=0.03, weeks=30)).events
        ingest.ingest(opened, load_contracts(CONFIGS / "contracts"), events)
        register.keep(opened, [OLD], "materialize", "before")
        register.keep(opened, [LEAD], "materialize", TRAINING)
        snapshot = _materialized(opened, "training")
        health.keep(opened, TRAINING, snapshot, LEAD.columns)
        _materialized(opened, "scoring")
        for rounds in (2, 3):
            _published(opened, rounds)
        yield opened


def quiet(done: int, total: int, what: str) -> None:
    """Say nothing."""


def asked(workspace: Workspace, action: str, **options: Any) -> Report:
    """Run the job."""
    return JOB.run(workspace, FeaturesSettings(action=action, **options), quiet)


def said(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace, *options: str
) -> tuple[int, pytest.MonkeyPatch]:
    """Call the command line in this process; returns its exit code."""
    monkeypatch.setenv("FUNNELCAST_HOME", str(workspace.settings.home))
    monkeypatch.setattr(sys, "argv", ["features", *options])
    with pytest.raises(SystemExit) as ended:
        console.main(JOB)
    return int(ended.value.code or 0), monkeypatch


ORDERS = Events(kind="order", where=(Where(column="number", at_least=5),))
USAGE = Events(kind="usage", of="account")
SENTENCES = {
    LEAD.features[6]: "count of touch events named web_visit of the lead, last 7 days",
    LEAD.features[0]: "text of the latest attribute event named origin of the lead",
    a.Sum(name="sum", label="", events=ORDERS): (
        "sum of the numbers of order events of the lead with number at least 5"
    ),
    a.Trend(name="trend", label="", events=USAGE, window_days=7, than_days=28): (
        "usage events of the account a day, last 7 days, divided by those a day, last 28 days"
    ),
    a.Transitions(name="steps", label="", events=Events(kind="stage"), after=("won", "lost")): (
        "count of steps from any to won or lost in stage events of the lead"
    ),
}


@pytest.mark.parametrize(("feature", "words"), SENTENCES.items(), ids=[f.name for f in SENTENCES])
def test_a_feature_is_one_plain_sentence(feature: a.Feature, words: str) -> None:
    """Made from the declaration."""
    assert sentences.sentence(feature, "lead") == words


def test_every_aggregate_and_every_feature_has_a_sentence() -> None:
    """A new aggregate must have one too; no two features of a view say the same."""
    assert set(sentences._BY_TYPE) == set(document.AGGREGATES.values())
    for each in VIEWS:
        found = [sentences.sentence(feature, each.entity) for feature in each.features]
        assert len(set(found)) == len(found)


def test_the_list_says_who_owns_what_and_how_it_is(filled: Workspace) -> None:
    """Every view, with or without rows; the newest rows, measured or not."""
    report = asked(filled, "list")
    assert report.table is not None
    rows = report.table.set_index("view")
    assert list(rows.index) == [each.name for each in VIEWS]
    lead = rows.loc[LEAD.name]
    assert (lead["entity"], lead["owner"], lead["privacy"]) == ("lead", LEAD.owner, "personal")
    assert (lead["version"], lead["features"]) == (LEAD.version, len(LEAD.features))
    assert lead["health"] == "not measured"  # the scoring rows are the newest
    assert float(lead["age_d"]) > 0
    assert rows.loc["opportunity_progress"]["health"] == "no rows"


def test_rows_of_another_version_are_said_to_be_so(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of the definition, until they are computed anew."""
    changed = replace(LEAD, features=LEAD.features[:9])
    monkeypatch.setattr("jobs.features.catalogue.VIEWS", (changed,))
    report = asked(filled, "list")
    assert report.table is not None
    assert list(report.table["health"]) == ["not measured, of another version"]


def test_a_description_has_meaning_health_and_users(filled: Workspace) -> None:
    """Per feature; the models live and kept, the rules that name the column."""
    found = asked(filled, "describe", view=LEAD.name, table=TRAINING).figures
    by_name = {feature["name"]: feature for feature in found["features"]}  # type: ignore[attr-defined]
    assert list(by_name) == LEAD.columns
    visits = by_name["web_visits_30d"]
    assert visits["means"] == "count of touch events named web_visit of the lead, last 30 days"
    assert (visits["type"], visits["window_days"], visits["privacy"]) == ("int64", 30, "personal")
    assert "lead_qualification: visits often" in visits["rules"]
    assert len(visits["models"]) == 2 > len(by_name["web_visits_7d"]["models"])
    assert [m["live"] for m in found["models"]] == [True, False]  # type: ignore[attr-defined]
    assert set(found["targets"]) >= {"lead_qualification", "olist_qualification"}  # type: ignore[call-overload]
    column = filled.tables.read(TRAINING, columns=["web_visits_30d"])["web_visits_30d"]
    assert visits["health"]["mean"] == pytest.approx(column.to_pandas().mean())
    assert by_name["landing_page"]["health"]["finding"] == health.EMPTY


def test_a_version_on_record_can_be_described(filled: Workspace) -> None:
    """By its beginning; its rows are gone."""
    found = asked(filled, "describe", view=f"{LEAD.name}@{OLD.version[:5]}").figures
    assert (found["version"], found["owner"], found["declared"]) == (
        OLD.version,
        "marketing",
        False,
    )
    assert (len(found["features"]), found["rows"]) == (len(OLD.features), {})  # type: ignore[arg-type]


def test_two_versions_differ_feature_by_feature(filled: Workspace) -> None:
    """With what is declared now, unless another is named."""
    words = [["owner", "said", "marketing -> revenue-operations"], *(
        [feature.name, "added", ""] for feature in LEAD.features[:2]
    )]  # fmt: skip
    report = asked(filled, "diff", view=LEAD.name, a=OLD.version)
    assert report.table is not None
    assert report.table.to_numpy().tolist() == words
    back = asked(filled, "diff", view=LEAD.name, a=LEAD.version, b=OLD.version[:6])
    assert back.table is not None
    assert list(back.table["change"]) == ["said", "removed", "removed"]
    same = asked(filled, "diff", view=LEAD.name, a=LEAD.version)
    assert same.decided == ["nothing is different"]


def test_the_log_tells_every_definition(filled: Workspace) -> None:
    """Oldest first, with who and why."""
    first, second = asked(filled, "log").decided
    assert first.endswith(f"{OLD.version} by materialize: before: first definition")
    assert f"by materialize: {TRAINING}: 1 said: owner" in second
    assert "2 added: origin, landing_page" in second
    assert asked(filled, "log", view="opportunity_progress").decided == []


def test_a_value_leads_to_its_events(filled: Workspace) -> None:
    """As many visits as were counted, each with an id that the log knows; the row of the snapshot
    has the same value.
    """
    rows = filled.tables.read(SCORING).to_pandas()
    busy = rows.sort_values("web_visits_90d").iloc[-1]
    name, at = "web_visits_90d", busy["time"].isoformat()
    options = {"view": "lead_engagement", "a": name, "b": busy["entity"], "as_of": at}
    report = asked(filled, "trace", **options)
    assert report.table is not None
    assert report.figures == {"value": busy[name], "events": len(report.table)}
    assert len(report.table) == busy[name] > 0
    known = {key.hex() for key in filled.tables.read(log.TABLE)["event_id"].to_pylist()}
    assert set(report.table["event"]) <= known
    assert set(report.table["name"]) == {"web_visit"}


WRONG = {
    ("lst",): "did you mean 'list'?",
    ("describe",): "describe must have VIEW",
    ("describe", "lead_engagment"): "did you mean 'lead_engagement'?",
    ("describe", "lead_engagement@zzz"): "a version of view",
    ("describe", "lead_engagement", "--table", "training_x"): TRAINING,
    ("diff", "lead_engagement"): "diff must have A",
    ("diff", "lead_engagement", "nope"): "valid are: ",
    ("list", "lead_engagement"): "list must have no VIEW",
    ("export", "--html", "x"): "export must have no --html",
    ("list", "--as-of", "2026-01-01"): "list must have no --as-of",
    ("trace", "lead_engagement", "origin"): "trace must have B",
    ("trace", "lead_engagement", "orign", "lead-00001"): "did you mean 'origin'?",
    ("trace", "lead_engagement", "origin", "nobody"): "the lead must be in the event log",
}


@pytest.mark.parametrize(("options", "words"), WRONG.items(), ids=" ".join)
def test_wrong_use_is_one_clear_line(
    filled: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    words: str,
) -> None:
    """On standard error, with exit code 2."""
    assert said(monkeypatch, filled, *options)[0] == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert words in shown.err


def test_the_console_shows_it_and_prints_json(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same facts in both."""
    assert said(monkeypatch, filled, "describe", LEAD.name, "--table", TRAINING)[0] == 0
    shown = capsys.readouterr().out
    assert "count of touch events named web_visit of the lead, last 7 days" in shown
    assert "EMPTY" in shown
    said(monkeypatch, filled, "describe", LEAD.name, "--json")
    found = json.loads(capsys.readouterr().out)
    assert (found["job"], found["figures"]["version"]) == ("features", LEAD.version)
    assert said(monkeypatch, filled, "list")[0] == 0
    assert LEAD.version in capsys.readouterr().out


def test_the_page_stands_alone_and_draws_every_feature(filled: Workspace, tmp_path: Path) -> None:
    """It loads nothing from elsewhere, and every measured column has its picture."""
    path = tmp_path / "view.html"
    asked(filled, "describe", view=LEAD.name, table=TRAINING, html=str(path))
    page = path.read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href|url)\s*[=(]", page)
    sections = re.findall(r"<section.*?</section>", page, re.DOTALL)
    assert len(sections) == len(LEAD.features)
    for section in sections:
        ElementTree.fromstring(section)
    bars = sum(section.count('class="bar"') > 0 for section in sections)
    assert bars == len(LEAD.features) - page.count('class="finding">empty')
    assert page.count('class="null"') == len(LEAD.features)


def test_names_of_the_world_cannot_break_the_page(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text is a text, whatever it says."""
    evil = "<script>alert(1)</script>"
    measured = health.measured(pa.table({"origin": [evil, "x"] * 10}))
    found = measured.append_column(health.HEALTH.field("known_to"), pa.nulls(1, log.MICROSECONDS))
    monkeypatch.setattr(health, "of_snapshot", lambda *_: found)
    path = tmp_path / "view.html"
    asked(filled, "describe", view=LEAD.name, html=str(path))
    page = path.read_text(encoding="utf-8")
    assert evil not in page
    assert "&lt;script&gt;" in page
    monkeypatch.setattr("jobs.features.page.escape", lambda text: text)
    asked(filled, "describe", view=LEAD.name, html=str(path))
    assert evil in path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def exported(filled: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an export."""
    folder = tmp_path_factory.mktemp("feast") / "repo"
    asked(filled, "export", feast=str(folder))
    return folder


def _calls(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Return the keyword arguments of the calls of a name in the definitions, as source."""
    tree = ast.parse((folder / "definitions.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    ours = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == kind]
    return [{str(k.arg): ast.unparse(k.value) for k in call.keywords} for call in ours]


def test_definitions_compile_and_name_what_is_in_the_files(exported: Path) -> None:
    """An entity, a source per table, a view per table with every feature in its type."""
    source = (exported / "definitions.py").read_text(encoding="utf-8")
    compile(source, "definitions.py", "exec")
    assert [call["name"] for call in _calls(exported, "Entity")] == ["'lead'"]
    assert {call["name"] for call in _calls(exported, "FileSource")} == {
        repr(TRAINING),
        repr(SCORING),
    }
    views = _calls(exported, "FeatureView")
    assert {ast.literal_eval(call["name"]) for call in views} == {
        f"{LEAD.name}__{TRAINING}",
        f"{LEAD.name}__{SCORING}",
    }
    tags = ast.literal_eval(views[0]["tags"])
    assert (tags["owner"], tags["privacy"]) == (LEAD.owner, LEAD.privacy)
    assert (tags["description"], tags["version"]) == (LEAD.description, LEAD.version)
    kinds = {"Int64": pa.int64(), "Float64": pa.float64(), "String": pa.string()}
    fields = _calls(exported, "Field")
    found = [(ast.literal_eval(field["name"]), kinds[field["dtype"]]) for field in fields]
    assert found == [(f.name, f.type) for f in LEAD.features] * 2
    store = yaml.safe_load((exported / "feature_store.yaml").read_text())
    assert (store["provider"], store["project"]) == ("local", "funnelcast")


def test_files_hold_the_rows_of_the_snapshots(filled: Workspace, exported: Path) -> None:
    """Every value as it is in the table, under the names that the definitions say."""
    for table in (TRAINING, SCORING):
        found = pq.read_table(exported / "data" / f"{table}.parquet")
        assert found.column_names == ["lead", "event_timestamp", "created_timestamp", *LEAD.columns]
        assert found["created_timestamp"].equals(found["event_timestamp"])
        rows = filled.tables.read(table).select(["entity", "time", *LEAD.columns])
        renamed = rows.rename_columns(["lead", "event_timestamp", *LEAD.columns])
        order = [("lead", "ascending"), ("event_timestamp", "ascending")]
        theirs = found.drop_columns(["created_timestamp"]).sort_by(order)
        assert theirs.equals(renamed.sort_by(order).cast(theirs.schema))


def test_a_second_export_takes_the_place_of_the_first(filled: Workspace, tmp_path: Path) -> None:
    """Rows that it does not name are gone."""
    folder = tmp_path / "repo"
    asked(filled, "export", feast=str(folder))
    asked(filled, "export", feast=str(folder), view=LEAD.name, table=SCORING)
    assert [path.name for path in (folder / "data").iterdir()] == [f"{SCORING}.parquet"]


def _foreign(folder: Path) -> Path:
    (folder / "data").mkdir()
    theirs = folder / "data" / "theirs.parquet"
    theirs.write_text("precious")
    return theirs


def test_a_folder_of_somebody_else_is_left_alone(
    filled: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Wrong use, and nothing is touched."""
    theirs = _foreign(tmp_path)
    assert said(monkeypatch, filled, "export", "--feast", str(tmp_path))[0] == 2
    assert "--feast must be a new folder or one of an export" in capsys.readouterr().err
    assert theirs.read_text() == "precious"


def test_without_the_look_at_the_folder_files_would_go(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above rests on it."""
    theirs = _foreign(tmp_path)
    monkeypatch.setattr(export, "_require_ours", lambda folder: None)
    asked(filled, "export", feast=str(tmp_path))
    assert not theirs.exists()


def test_without_rows_there_is_nothing_to_export(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and what to do about it."""
    assert said(monkeypatch, workspace, "export", "--feast", "/nowhere/at/all")[0] == 1
    assert "run `python -m jobs.materialize` first" in capsys.readouterr().err


def _feast(home: Path) -> Path:
    """Return the folder of programs of an environment with Feast, or skip loudly."""
    venv.create(home, with_pip=True)
    install = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", *FEAST]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"FEAST MISSING: {FEAST} cannot be installed, so nothing was read: "
                    f"{done.stderr.strip()[-300:]}")  # fmt: skip
    return home / "bin"


@pytest.mark.drill
def test_feast_reads_the_same_values_back(exported: Path, tmp_path: Path) -> None:
    """Applied and asked as its users do: at the times of the rows, and an hour after them."""
    programs, name = _feast(tmp_path / "feast"), f"{LEAD.name}__{TRAINING}"
    applied = [str(programs / "feast"), "-c", str(exported), "apply"]
    subprocess.run(applied, check=True, capture_output=True)
    rows = pq.read_table(exported / "data" / f"{TRAINING}.parquet").to_pandas()
    rows = rows.sort_values(["lead", "event_timestamp"]).drop_duplicates("lead", keep="last")
    child = ROOT / "tests" / "jobs" / "child_feast.py"
    for later in (pd.Timedelta(0), pd.Timedelta(hours=1)):
        spine = rows[["lead", "event_timestamp"]].copy()
        spine["event_timestamp"] += later
        spine.to_parquet(tmp_path / "spine.parquet")
        out = tmp_path / "out.parquet"
        command = [str(programs / "python"), str(child), str(exported), name]
        done = subprocess.run(
            [*command, str(tmp_path / "spine.parquet"), str(out)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout.split() == [LEAD.owner, LEAD.version, LEAD.privacy]
        found = pd.read_parquet(out).sort_values("lead")
        assert len(found) == len(rows)
        for column in LEAD.columns:
            theirs, ours = found[column].to_numpy(object), rows[column].to_numpy(object)
            is_null = pd.isna(ours)
            assert (pd.isna(theirs) == is_null).all()
            assert (theirs[~is_null] == ours[~is_null]).all()
