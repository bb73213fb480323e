"""Funnels: those that are declared load, and what is wrong in one is said in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.errors import WrongUse
from cluster.settings import CONFIGS
from features.contracts import load_contracts
from serving.forecast.funnels import banded, load_funnel

NAMES = sorted(path.stem for path in (CONFIGS / "funnels").glob("*.yaml"))
DECLARED: dict[str, Any] = {
    "name": "test",
    "description": "",
    "stages": [
        {"name": "lead", "entity": "lead", "entered": [{"kind": "lead", "names": ["created"]}]},
        {"name": "deal", "entity": "opportunity", "entered": [{"kind": "opportunity"}]},
    ],
    "deals_from": "deal",
    "won": [{"kind": "outcome", "names": ["won"]}],
    "lost": [{"kind": "outcome", "names": ["lost"]}],
}


def test_every_source_with_a_course_has_its_funnel() -> None:
    assert NAMES == ["bpi_2012", "maven", "olist", "sales"]


@pytest.mark.parametrize("name", NAMES)
def test_a_declared_funnel_speaks_of_events_that_contracts_promise(name: str) -> None:
    contracts, funnel = load_contracts(CONFIGS / "contracts"), load_funnel(name)
    for state, event in funnel.declared:
        contract = contracts[event.kind]
        allowed = [p.allowed for p in contract.properties if p.column == "name" and p.allowed]
        assert not allowed or set(event.names) <= set(allowed[0]), state


def test_states_are_numbered_in_order() -> None:
    funnel = load_funnel("sales")
    assert funnel.states[:2] == ("lead", "discovery") and funnel.states[-2:] == ("won", "lost")
    assert (funnel.won_state, funnel.lost_state, funnel.first_deal) == (5, 6, 1)
    assert funnel.begins == (0, 1)


def test_units_begin_where_there_are_stages() -> None:
    assert (load_funnel("olist").begins, load_funnel("olist").first_deal) == ((0,), 1)
    assert (load_funnel("maven").begins, load_funnel("maven").first_deal) == ((0,), 0)


def test_the_last_band_holds_for_all_beyond() -> None:
    band_of = load_funnel("sales").band_of
    assert band_of[[0, 1, 2, 3, 4]].tolist() == [0, 1, 2, 2, 3]
    assert banded(band_of, band_of[[-1]] * 0 + 999).tolist() == [band_of[-1]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step_days": 30}, "'step_days'"),
        ({"bands": [1, 2]}, r"bands must begin with 0 and rise, got \[1, 2\]"),
        ({"bands": [0, 2, 2]}, "bands must begin with 0 and rise"),
        ({"bands": []}, "bands must begin with 0 and rise"),
        ({"bands": [0, -1]}, "'bands.1'"),
        ({"deals_from": "deel"}, "deals_from must be one of .*, got 'deel'"),
        ({"deals_from": "lead"}, "stages before deals_from are of leads"),
        ({"deals_from": None}, "stages before deals_from are of leads"),
        ({"stages": []}, "'stages'"),
        ({"stages": [*DECLARED["stages"], DECLARED["stages"][1]]}, "names of stages must differ"),
        ({"won": []}, "'won'"),
        ({"lost": DECLARED["won"]}, "'outcome won' must say one thing, got 'won' and 'lost'"),
        ({"segment": {}}, "give one of attribute and key"),
        ({"segment": {"attribute": "region", "key": "rep"}}, "give one of attribute and key"),
        ({"owner": {"key": "salesman"}}, "'owner.key'"),
        ({"scores": {"target": "x", "bands": 1}}, "'scores.0.bands'"),
        ({"scores": [{"target": "x"}, {"target": "x"}]}, "each target once"),
        ({"amounts": []}, "unknown key 'amounts': did you mean 'amount'"),
    ],
)
def test_a_wrong_value_is_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(DECLARED | changes))
    with pytest.raises(WrongUse, match=words) as refused:
        load_funnel(str(file))
    assert "\n" not in str(refused.value)


def test_a_wrong_name_names_the_nearest() -> None:
    with pytest.raises(WrongUse, match=r"did you mean 'sales.yaml'"):
        load_funnel("sale")
