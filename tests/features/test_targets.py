"""Targets: what is declared wrongly is refused in one line, before any work."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from cluster import canonical
from cluster.errors import WrongUse
from cluster.settings import CONFIGS
from features import log, spine, targets
from features.contracts import load_contracts
from features.sources.world import WorldConfig, generate
from features.targets import Target, load_target, require_promised
from features.views import View, view

CONTRACTS = load_contracts(CONFIGS / "contracts")
DECLARED: dict[str, Any] = {
    "name": "test",
    "description": "",
    "entity": "lead",
    "anchor": {"kind": "lead", "names": ["created"]},
    "horizon_days": 30,
    "label": {"kind": "lead", "names": ["qualified"]},
    "closed_by": [{"kind": "lead", "names": ["disqualified"]}],
    "views": ["lead_engagement"],
}
MOVES = {"label_moves": "forward", "label": {"kind": "stage"}}
LEAD = view("lead_engagement")
END = datetime(2026, 6, 29, tzinfo=UTC)  # of the world


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> dict[str, View]:
    """Declare more views of a lead: half of the columns each, and one that takes a name twice."""
    half = len(LEAD.features) // 2
    first = replace(LEAD, name="first", features=LEAD.features[:half], privacy="internal")
    second = replace(LEAD, name="second", features=LEAD.features[half:])
    label = replace(LEAD.features[0], name="label")
    several = {
        "first": first,
        "second": second,
        "again": replace(first, name="again", features=LEAD.features[half - 1 : half]),
        "takes_label": replace(first, name="takes_label", features=(label,)),
    }
    monkeypatch.setattr(targets, "view", lambda name: several.get(name) or view(name))
    return several


def _loaded(folder: Path, **changes: Any) -> Target:
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump(DECLARED | changes))
    return load_target(str(path))


def test_every_declared_target_loads_and_keeps_to_the_contracts() -> None:
    """Each file in configs/targets is valid and its views exist."""
    files = sorted((CONFIGS / "targets").glob("*.yaml"))
    for file in files:
        require_promised(load_target(str(file)), CONTRACTS)
    assert {file.stem for file in files} >= {"lead_qualification", "opportunity_win"}


def test_a_wrong_target_names_the_nearest() -> None:
    """A typing error on the command line is answered with the name meant."""
    with pytest.raises(WrongUse, match=r"did you mean 'lead_qualification.yaml'"):
        load_target("lead_qualifcation")


def test_several_views_are_one(tmp_path: Path, views: dict[str, View]) -> None:
    """Their columns side by side, with the versions of each; as private as the most private."""
    target = _loaded(tmp_path, views=["first", "second"])
    assert target.features.columns == LEAD.columns
    assert target.features.privacy == LEAD.privacy == "personal"
    assert target.view_versions == {n: views[n].version for n in ("first", "second")}
    assert target.made_by == ",".join(f"{n}@{views[n].version}" for n in ("first", "second"))
    assert _loaded(tmp_path).features is LEAD


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"views": []}, "'views'"),
        ({"view": "lead_engagement"}, "unknown key 'view': did you mean 'views'"),
        ({"views": ["lead_engagment"]}, "did you mean 'lead_engagement'"),
        ({"views": ["opportunity_progress"]}, "views must be of lead, got 'opportunity_progress'"),
        ({"views": ["first", "second", "again"]}, "in 'first' and in 'again'"),
        ({"views": ["takes_label"]}, r"got \['label'\] in view 'takes_label' too"),
        ({"horizon_days": 0}, "'horizon_days': Input should be greater than 0, got 0"),
        ({"horizon_days": float("inf")}, "horizon_days"),
        ({"delay_days": 1e9}, "'delay_days': Input should be less than or equal to 36525"),
        ({"every_days": 0}, "every_days"),
        ({"eligible": [{}]}, "give one of has, has_not and attribute, got none"),
        ({"eligible": [{"attribute": "segment"}]}, "attribute and one_of must come together"),
        ({"eligible": [{"has": {"kind": "touch"}, "one_of": ["a"]}]}, "must come together"),
        ({"monotone": {"pricing_visit_30d": "rising"}}, "did you mean 'pricing_visits_30d'"),
        ({"monotone": {"seniority": "rising"}}, "must be a number, got the text 'seniority'"),
        ({"monotone": {"pricing_visits_30d": "up"}}, "monotone.pricing_visits_30d"),
        ({"metric": "accuracy"}, "'metric'"),
        ({"costs": {"miss": 0}}, "'costs.miss': Input should be greater than 0"),
        ({"eligible": [{"had": {"kind": "touch"}}]}, "unknown key 'eligible.0.had'"),
        ({"label_moves": "forward"}, "label_moves and order must come together"),
        ({"order": ["a", "b"]}, "label_moves and order must come together"),
        ({"label_moves": "up", "order": ["a", "b"]}, "'label_moves'"),
        ({"label_moves": "forward", "order": ["a", "b"]}, "in place of the label's names"),
        (MOVES | {"order": ["a"]}, "order must name two stages or more"),
        (MOVES | {"order": ["a", "b", "a"]}, "order must name each stage once"),
    ],
)
def test_a_wrong_declaration_is_one_line(
    tmp_path: Path, views: dict[str, View], changes: dict[str, Any], words: str
) -> None:
    """The rule, the value, and what to do."""
    with pytest.raises(WrongUse, match=words) as refused:
        _loaded(tmp_path, **changes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"anchor": {"kind": "leed"}}, "anchor: a kind must have a contract, got 'leed': did you"),
        ({"label": {"kind": "lead", "names": ["qualifed"]}}, "label: .* did you mean 'qualified'"),
        ({"closed_by": [{"kind": "retraction"}]}, "closed_by.0: a kind must have a contract"),
        ({"eligible": [{"has": {"kind": "toch"}}]}, "eligible.0: .* did you mean 'touch'"),
    ],
)
def test_an_event_that_no_source_can_bring_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """It would give an empty spine, or labels that are all negative."""
    with pytest.raises(WrongUse, match=words):
        require_promised(_loaded(tmp_path, **changes), CONTRACTS)


def test_a_target_without_moves_keeps_its_version(tmp_path: Path) -> None:
    """Its rows and models are what they were before targets knew of moves."""
    plain, moves = _loaded(tmp_path), _loaded(tmp_path, **MOVES, order=["a", "b"])
    dumped = plain.model_dump(mode="json")
    assert {dumped.pop("label_moves"), tuple(dumped.pop("order"))} == {None, ()}
    assert plain.version == canonical.digest(dumped)[:16] != moves.version
    other = _loaded(tmp_path, **MOVES, order=["b", "a"])
    assert other.version != moves.version
    assert moves.closings == moves.closed_by and plain.closings[0] == plain.label


def test_readiness_is_what_sales_says_of_a_lead_that_marketing_qualified() -> None:
    """Row by row as in the truth: accepted, or qualified at once, within the horizon after T."""
    world, target = generate(WorldConfig(scale=0.2, faults=0.0)), load_target("mql_to_sql")
    events = log.identified(world.events.select(log.CANDIDATE.names).cast(log.CANDIDATE))
    rows = spine.training(target, events, END).to_pandas()
    truth = world.truth["leads"].set_index("lead").loc[rows["entity"]].reset_index()
    accepted = truth[["sales_accepted", "qualified"]].min(axis=1)
    ended = truth[["sales_accepted", "sales_rejected", "qualified", "disqualified"]].min(axis=1)
    within = accepted < rows["time"] + pd.Timedelta(days=target.horizon_days)
    assert (rows["label"] == within).all()
    assert (rows["time"] > truth["marketing_qualified"]).all()
    # what is known an hour or two later is not known yet
    assert not (ended < rows["time"] - pd.Timedelta(days=1)).any()
    assert len(rows) > 400 and 0.3 < rows.loc[rows["mature"], "label"].mean() < 0.7
