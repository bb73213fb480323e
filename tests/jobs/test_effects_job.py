"""The job of effects: from a log to blob, ref and page; refusals kept as such; nothing later is
used."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from cluster.errors import WrongUse
from cluster.settings import CONFIGS, Settings
from cluster.workspace import Workspace
from features import log
from features.sources.world import WorldConfig, generate
from jobs import console
from jobs.effects import asked as asking
from jobs.effects import gather
from jobs.effects.asked import EffectsSettings
from jobs.effects.run import JOB
from jobs.simulate import known as knowing
from jobs.simulate.question import pins
from serving.effects import known
from serving.effects.definition import load_definition
from serving.forecast.evidence import Grade
from tests.jobs.simulating import LEVER
from tests.jobs.test_simulate_known import question

if TYPE_CHECKING:
    from collections.abc import Iterator

AFTER = datetime(2027, 1, 1, tzinfo=UTC)  # all that the log knows
KINDS = ["opportunity", "stage", "outcome", "lead", "intervention", "attribute", "touch",
         "activity"]  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Return a workspace whose log holds the events of a small company."""
    told = generate(WorldConfig(weeks=52, leads=1600, accounts=300, faults=0.0)).events
    events = log.identified(told.filter(pc.is_in(told["kind"], pa.array(KINDS))))
    with Workspace.open(Settings(home=tmp_path_factory.mktemp("effects"))) as opened:
        log.create(opened.tables, 4)
        opened.tables.append(log.TABLE, events)
        yield opened


def quiet(done: int, total: int, what: str) -> None:
    """Tell nobody."""


def done(workspace: Workspace, action: str, **more: Any) -> console.Done:
    """Run the job."""
    settings = EffectsSettings(action=action, runner="inline", **more)
    return console.perform(JOB, settings, workspace, quiet)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the file of the definition that ships, with less to learn."""
    document = yaml.safe_load((CONFIGS / "effects" / "outreach.yaml").read_text())
    document |= {"horizons_days": [42], "outcomes": []}
    path = tmp_path_factory.mktemp("definitions") / "outreach.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.fixture(scope="module")
def report(filled: Workspace, short: str) -> dict[str, Any]:
    """Return the report of a run."""
    return done(filled, short).report


def test_what_is_learnt_is_kept_under_its_ref(filled: Workspace, report: dict[str, Any]) -> None:
    found = known.load(filled, "sales", "outreach")
    assert found is not None and found.grade is Grade.RANDOMISED
    ref = filled.refs.get("effects/sales/outreach")
    assert ref is not None and ref.target == report["wrote"]["effect"]
    assert json.loads(filled.blobs.get(ref.target))["action"] == "outreach"
    effect = found.as_effect(7)
    assert effect.lasts == 4 and effect.grade is Grade.RANDOMISED
    assert effect.ratio == pytest.approx(np.exp(found.causes["forward"].log_ratio))
    assert found.as_effect(1).lasts == 28
    assert found.snapshot == str(filled.tables.head(log.TABLE))
    assert found.n == {arm: report["read"][f"rows of {arm}"] for arm in ("control", "treated")}
    assert known.Known.model_validate_json(found.blob) == found


def test_the_same_question_is_not_answered_twice(
    filled: Workspace, report: dict[str, Any], short: str
) -> None:
    again = done(filled, short)
    assert again.unchanged and again.report["wrote"] == report["wrote"]
    Path(report["wrote"]["page"]).unlink()
    once_more = done(filled, short)
    assert not once_more.unchanged
    assert once_more.report["wrote"] == report["wrote"], "the same bytes, and the page again"


def test_an_earlier_moment_is_kept_but_does_not_move_the_ref_back(
    filled: Workspace, report: dict[str, Any], short: str, tmp_path: Path
) -> None:
    then = {"as_of": "2025-09-01T00:00:00Z", "to": str(tmp_path)}
    found = done(filled, short, **then).report
    ref = filled.refs.get("effects/sales/outreach")
    assert ref is not None and ref.target == report["wrote"]["effect"] != found["wrote"]["effect"]
    assert any("it stays" in line for line in found["decided"])
    kept = known.Known.model_validate_json(filled.blobs.get(found["wrote"]["effect"]))
    assert kept.learnt_at.isoformat() == "2025-09-01T00:00:00+00:00" and kept.action == "outreach"
    assert done(filled, short, **then).unchanged
    stays = filled.refs.get("effects/sales/outreach/2025-09-01T00:00:00.000000Z")
    assert stays is not None and stays.name == found["wrote"]["ref"], "what it did write"
    assert stays.target == found["wrote"]["effect"]


def test_a_page_is_of_what_was_asked(filled: Workspace, report: dict[str, Any], short: str) -> None:
    """That of an earlier moment takes nothing from the newest; another in its place is noticed."""
    page = Path(report["wrote"]["page"])
    done(filled, short)
    before = page.read_bytes()
    earlier = done(filled, short, as_of="2025-09-01T00:00:00Z").report
    assert earlier["wrote"]["page"] != str(page) and page.read_bytes() == before
    assert "2025-09-01" in Path(earlier["wrote"]["page"]).read_text()
    assert done(filled, short).unchanged
    page.write_text("another")
    assert not done(filled, short).unchanged and page.read_bytes() == before


def test_a_question_about_an_earlier_moment_takes_what_was_learnt_from_it(
    filled: Workspace, report: dict[str, Any], short: str
) -> None:
    """Though a later learning stands: from the job's document to the effect of a lever."""
    then = done(filled, short, as_of="2025-09-01T00:00:00Z").report
    kept = known.Known.model_validate_json(filled.blobs.get(then["wrote"]["effect"]))
    said = []
    for at, learnt in ((kept.learnt_at, kept), (AFTER, known.load(filled, "sales", "outreach"))):
        asked = replace(question(LEVER | {"effect": "estimated"}), as_of=at)
        nothing: Any = None  # no courses: where the lots of the log are asked, it fails
        found, (line,) = knowing.known(filled, asked, nothing)
        (lever,) = found.scenario.levers
        assert lever.effect == learnt.as_effect(7)
        said.append(line)
    assert said[0] != said[1]
    with pytest.raises(AttributeError, match="NoneType"):
        knowing.known(filled, replace(asked, as_of=kept.learnt_at - timedelta(days=1)), nothing)


def test_an_earlier_learning_makes_another_answer(filled: Workspace, short: str) -> None:
    """A simulation that was answered without it is answered again."""
    asked = question(LEVER | {"effect": "estimated"})
    before = pins(filled, asked)
    done(filled, short, as_of="2025-08-01T00:00:00Z")
    assert pins(filled, asked) != before


def test_what_the_log_cannot_know_yet_is_not_asked(filled: Workspace, short: str) -> None:
    with pytest.raises(WrongUse, match="must not be after what the log knows") as raised:
        done(filled, short, as_of="2099-01-01T00:00:00Z")
    assert "\n" not in str(raised.value)


def test_a_document_from_after_what_the_log_knows_does_not_stay_for_good(
    filled: Workspace,
) -> None:
    """As where the newest rows were erased since."""
    done(filled, "price")
    before, name = known.newest(filled, "sales", "price"), "effects/sales/price"
    there = filled.refs.get(name)
    assert before is not None and there is not None
    future = before.model_copy(update={"learnt_at": AFTER + timedelta(days=9000)})
    filled.refs.move(name, to=filled.blobs.put(future.blob), expect_epoch=there.epoch,
                     actor="test", reason="test", now=filled.clock())  # fmt: skip
    done(filled, "price", seed=1)
    assert known.newest(filled, "sales", "price") == before


def test_a_later_moment_moves_the_ref(filled: Workspace) -> None:
    for month in ("09", "10"):
        found = done(filled, "price", as_of=f"2025-{month}-01T00:00:00Z").report
        ref = filled.refs.get(found["wrote"]["ref"])
        assert ref is not None and ref.target == found["wrote"]["effect"]


def test_the_page_tells_the_effect_and_withholds_what_is_private(
    filled: Workspace, report: dict[str, Any], tmp_path: Path, short: str
) -> None:
    text = Path(report["wrote"]["page"]).read_text()
    assert "E1: randomised" in text and text.count("<svg") >= 6
    assert "parts by origin, region" in text and "origin webinar" not in text
    shown = done(filled, short, clearance="personal", to=str(tmp_path)).report
    open_page = Path(shown["wrote"]["page"]).read_text()
    assert "origin webinar" in open_page and "withheld" not in open_page


def test_prices_are_refused_and_nothing_is_known_of_them(filled: Workspace) -> None:
    report = done(filled, "price").report
    assert report["figures"]["grade"] is None
    assert "with grade 'assumption' (E3), or randomise" in report["figures"]["refused"]
    assert known.load(filled, "sales", "price") is None
    refusal = known.newest(filled, "sales", "price")
    assert refusal is not None and refusal.refused
    with pytest.raises(ValueError, match="refusal"):
        refusal.as_effect(7)
    assert "Refused." in Path(report["wrote"]["page"]).read_text()
    assert known.load(filled, "sales", "nothing") is None


def test_features_are_those_known_when_the_lot_was_drawn(filled: Workspace, short: str) -> None:
    """What happened after the lots, or was known later, changes no feature."""
    settings = EffectsSettings(action=short, as_of="2025-09-01T00:00:00Z", runner="inline")
    asked = asking.ask(filled, settings)
    choice = console_choice(filled)
    at_once = gather.gathered(filled, asked, choice, quiet).rows
    later = gather.gathered(filled, asking.ask(filled, EffectsSettings(action=short)), choice,
                            quiet).rows  # fmt: skip
    place = {name: n for n, name in enumerate(later.entity)}
    both = [(n, place[e]) for n, e in enumerate(at_once.entity) if e in place]
    mine, theirs = np.array(both).T
    names = [n for n in at_once.names if n in later.names and "=" not in n]
    one, two = (
        of.features[rows][:, [of.names.index(n) for n in names]]
        for of, rows in ((at_once, mine), (later, theirs))
    )
    assert len(mine) > 300 and np.array_equal(one, two, equal_nan=True)


def console_choice(workspace: Workspace) -> Any:
    """Return the choice of this process."""
    from cluster import runner

    return runner.choose("inline", 0, workspace.settings)


@pytest.mark.drill
@pytest.mark.ray
def test_ray_learns_the_same(filled: Workspace, report: dict[str, Any], short: str) -> None:
    settings = EffectsSettings(action=short, runner="ray")
    found = console.perform(JOB, settings, filled, quiet).report
    assert found["wrote"]["effect"] == report["wrote"]["effect"]


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONFIGS / "effects").glob("*.yaml")))
def test_definitions_that_ship_are_fit(name: str) -> None:
    assert load_definition(name).target.features.columns


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"views": ["lead_engagment"]}, "did you mean 'lead_engagement'?"),
        ({"views": ["account_health"], "segments": []}, "view"),
        ({"segments": ["orign"]}, "did you mean 'origin'?"),
        ({"funnel": "sale"}, "sale"),
        ({"horizons_days": [60, 30]}, "horizons_days must rise"),
        ({"lasts_days": -1}, "lasts_days"),
        ({"outcomes": [{"name": "forward", "events": {"kind": "touch"}}]}, "must differ"),
        ({"unknown": 1}, "unknown"),
        ({"lots": {"events": {"kind": "intervention"}}}, "give either arms"),
        (
            {"lots": {"events": {"kind": "intervention"}, "arms": {"a": ["a"], "b": ["b"]}}},
            "arms must be control and others",
        ),
    ],
)
def test_a_wrong_definition_gets_one_clear_line(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    document = yaml.safe_load((CONFIGS / "effects" / "outreach.yaml").read_text()) | change
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(WrongUse) as raised:
        load_definition(str(path))
    assert says in str(raised.value) and "\n" not in str(raised.value)
