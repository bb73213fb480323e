"""What a planner may choose from, and what is measured, of a small company."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from cluster import canonical
from cluster.settings import CONFIGS, Settings
from cluster.workspace import Workspace
from serving.effects.known import Known
from serving.planner import company
from serving.planner.company import Company, learnt, presets
from serving.simulations import courses
from tests.serving import asking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose log holds a small company."""
    home = tmp_path_factory.mktemp("company") / "home"
    with Workspace.open(Settings(home=home, buckets=4)) as opened:
        asking.fill(opened, leads=2_000)
        yield opened


def test_choices_are_those_of_the_company(place: Workspace) -> None:
    """Stages of the funnel, segments of the log, funnels of the configuration."""
    found = Company(place).choices("sales")
    assert found.stages[0] == "lead"
    assert found.begins == ("lead", "discovery")
    assert {"dach", "usa"} <= set(found.segments)
    assert {"sales", "olist"} <= set(found.funnels)
    assert Company(place).choices("../../etc/passwd").stages == ()


def test_an_empty_workspace_has_a_form_too(workspace: Workspace) -> None:
    """With what is declared."""
    made = Company(workspace)
    assert made.choices("sales").segments == ()
    assert made.evidence("sales", "outreach").said == company.NO_DATA


def test_of_what_is_not_there_nothing_is_looked_up(workspace: Workspace) -> None:
    """Neither by a funnel that is not configured, nor by a text that no database takes."""
    made = Company(workspace)
    for funnel, action in (("nosuch", "price"), ("sales/../x", "price"), ("sales", "\0")):
        assert made.evidence(funnel, action).said == company.NO_DATA


def test_an_effect_is_measured_once_for_all(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many look at once; a large log is left to the job."""
    made, calls, real = Company(place), [], company._of_lots
    monkeypatch.setattr(company, "_of_lots", lambda *given: calls.append(1) or real(*given))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: made.evidence("sales", "outreach"), range(4)))
    assert calls == [1]
    assert {each.code for each in found} == {"E1"}
    assert found[0].low is not None
    assert found[0].ratio is not None
    assert found[0].low < found[0].ratio
    assert made.evidence("sales", "a_call").said == company.NOT_MEASURED
    for path in ("../../x", str(CONFIGS / "funnels" / "sales.yaml")):
        assert made.evidence(path, "outreach").said == company.NO_DATA
    monkeypatch.setattr(courses, "MOST_EVENTS", 10)
    assert Company(place).evidence("sales", "outreach").said == company.TOO_MANY


LEARNT: dict[str, Any] = {
    "action": "call", "funnel": "sales", "description": "", "definition": "1", "lasts_days": 28.0,
    "learnt_at": "2026-02-01T00:00:00Z", "snapshot": "1", "method": "", "n": {},
    "grade": "observational",
    "causes": {"forward": {"log_ratio": 0.4, "sd": 0.1, "n": 900}},
    "said": ["From 900 rows.", "No placebo did anything.", "More."],
}  # fmt: skip


def test_what_was_learnt_comes_first(place: Workspace) -> None:
    """With its grade; a refusal is told with its reason, a broken one as such."""
    found = learnt(Known.model_validate(LEARNT))
    assert (found.code, found.said) == ("E2", "From 900 rows. No placebo did anything.")
    assert found.ratio == pytest.approx(1.4918, abs=1e-4)
    refusal = {**LEARNT, "grade": None, "causes": {}, "refused": "no overlap"}
    refused = learnt(Known.model_validate(refusal))
    assert (refused.code, refused.ratio) == ("", None)
    assert "no overlap" in refused.said
    for number, body in enumerate((canonical.dumps(LEARNT), b"[]", b'{"grade": "best"}')):
        place.refs.move(
            "effects/sales/call", to=place.blobs.put(body), expect_epoch=number, actor="a",
            reason="a test", now=place.clock(),
        )  # fmt: skip
        said = Company(place).evidence("sales", "call").said
        assert ("cannot be read" in said) == (number > 0)


def test_presets_are_scenarios_with_levers(tmp_path: Path) -> None:
    """With the sentence they begin with; one that is broken is left out."""
    assert "outreach" in {each.name for each in presets()}
    assert all(each.scenario.levers for each in presets())
    (tmp_path / "broken.yaml").write_text("name: 7\nlevers: what?\n")
    good = (CONFIGS / "scenarios" / "outreach.yaml").read_text()
    (tmp_path / "good.yaml").write_text(f"# what it is for\n{good}")
    assert [(each.name, each.said) for each in presets(tmp_path)] == [("good", "what it is for")]
