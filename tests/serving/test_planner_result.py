"""What the page of a result says: charts, tables and files of the same numbers."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from serving.forecast.comparison import Comparison
from serving.planner import charts, downloads, results, summary, told
from serving.wire.simulations import SimulationRequest
from tests.serving import made_up

RESULT = made_up.result(("more_calls", "a_rep"))


def test_fans_hold_every_scenario_beside_what_it_is_compared_with() -> None:
    """In deals, and in thousands of the currency, never in cents."""
    found = charts.fans(RESULT)
    assert found["against"] == "business as usual"
    won, value = found["measures"]
    assert [each["name"] for each in won["panels"]] == ["more calls", "a rep"]
    assert won["base"]["p50"] == RESULT.arms[0].won.p50
    assert value["base"]["p95"][-1] == RESULT.arms[0].value_cents.p95[-1] / 1e5
    assert [each["band"]["p50"][0] for each in found["gains"]] == [5.0, 5.0]
    json.dumps(found, allow_nan=False)


def test_tables_say_what_fans_draw() -> None:
    """The last step is always there."""
    for steps in (1, 5, 26, 77):
        result = made_up.result(steps=steps)
        for table, key in zip(charts.numbers(result), charts.MEASURES, strict=True):
            assert table.rows[-1].step == steps
            middle = getattr(result.arms[1], key).p50[-1] / charts.MEASURES[key][1]
            assert table.rows[-1].cells[1].startswith(told.count(middle))
            assert len(table.rows) <= charts.ROWS + 1


def test_waterfalls_stand_on_one_scale_and_on_one_another() -> None:
    """Each part begins where the one before ended; the longest whisker still fits."""
    found = charts.waterfalls(RESULT)
    for each in found:
        parts, whole = each.bars[:-1], each.bars[-1]
        for before, bar in pairwise(parts):
            assert bar.y + bar.height == pytest.approx(before.y, abs=0.02)
        assert whole.is_total
        assert whole.y + whole.height == pytest.approx(each.floor, abs=0.02)
        assert min(bar.whisker[0] for bar in each.bars) >= charts.TOP - 0.02
    assert found[0].bars[0].height == found[1].bars[0].height


def test_heat_maps_say_how_full_a_desk_is() -> None:
    """A desk without hours is not empty: there is nothing to fill."""
    base, first, second = charts.heats(RESULT)
    assert {cell.percent for cell in base.cells} == {0, None}
    assert {cell.percent for cell in first.cells} == {30, None}
    assert second.cells[0].level == 6
    assert first.said == "full in 0 of 26 weeks; 5 wait at the end"


def test_payoffs_are_told_in_the_words_of_a_planner() -> None:
    """Every line has a text for each scenario, and no line has cents."""
    names, lines = summary.payoffs(RESULT)
    table = {line.heading: line.cells for line in lines}
    assert names == ["more calls", "a rep"]
    assert {len(cells) for cells in table.values()} == {2}
    assert table["Won deals more"][0] == "+12.4 (+6.2 to +18.6)"
    assert table["Value more"][0] == "+310 k (+155 k to +465 k)"
    assert table["Chance that it pays"][0] == "94 %"
    assert table["First ahead"][0] == "week 7"
    assert table["Value of one more hour"][0] == "plain: 91.00 (45.50 to 136)"
    assert table["Displaced"][0] == "1.6"
    assert table["Chance of the goal: won deals"][0] == "40 %"


def test_an_assumption_is_called_one() -> None:
    """In the verdict, and for each lever."""
    assert [each.is_assumed for each in summary.verdicts(RESULT)] == [True, True]
    assert all(each.is_assumed and each.code == "E3" for each in summary.evidence(RESULT))
    measured = RESULT.model_dump(mode="json")
    for arm in measured["arms"]:
        arm |= {"grade": "randomised", "label": None}
    found = summary.verdicts(type(RESULT).model_validate(measured))
    assert [(each.is_assumed, each.label) for each in found] == [(False, "E1 randomised here")] * 2


def test_a_loss_and_a_result_without_levers_are_told_too() -> None:
    """Nothing is said of a payoff where there is none."""
    said = RESULT.model_dump(mode="json")
    said["arms"][1]["payoff"]["gain_cents"] = made_up.spread(-5e6)
    said["arms"][1]["payoff"] |= {"steps_to_value": None, "timing": None}
    said["arms"][2]["payoff"] |= {"timing": None}
    found = type(RESULT).model_validate(said)
    verdict = summary.verdicts(found)[0]
    assert verdict.is_worse
    assert "never ahead within this horizon" in verdict.said
    said["arms"][1]["payoff"]["steps_to_value"] = 1
    behind = summary.verdicts(type(RESULT).model_validate(said))[0]
    assert behind.said.endswith("ahead in week 1, and behind by the end.")
    assert "Displaced" not in {line.heading for line in summary.payoffs(found)[1]}
    alone = type(RESULT).model_validate({**said, "arms": said["arms"][:1], "plan": None})
    shown = results.shown(alone)
    assert (shown["verdicts"], shown["fans"]["gains"]) == ([], [])
    assert [panel["name"] for panel in shown["fans"]["measures"][0]["panels"]] == [
        "business as usual"
    ]


def test_the_question_is_a_file_that_is_read_again() -> None:
    """As the job takes it."""
    asked = SimulationRequest.model_validate(
        {"scenarios": [{"name": "a", "horizon": 4}], "against": "baseline", "hour_price": True}
    )
    said = yaml.safe_load(downloads._yaml(asked))
    assert SimulationRequest.model_validate(said) == asked
    assert Comparison.model_validate(said).scenarios[0].horizon == 4


@given(st.floats(-1e12, 1e12, allow_nan=False))
def test_amounts_are_never_longer_than_a_cell(cents: float) -> None:
    """And have the sign of what they say."""
    text = told.money(cents, sign=True)
    assert len(text) <= 16
    assert not (cents < 0 and text.startswith("+"))
    assert told.MINUS not in told.money(abs(cents), sign=True)
