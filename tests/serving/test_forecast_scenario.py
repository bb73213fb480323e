"""Scenarios: what is refused in one clear line, what is estimated, and which grade the answer
carries."""

from __future__ import annotations

from typing import Any

import pytest

from cluster import settings
from cluster.errors import WrongUse
from serving.forecast import scenario
from serving.forecast.scenario import Effect, Grade, Scenario

EFFECT = {"hazard_ratio": 1.3, "sd": 0.1, "grade": "observational"}
LEVER = {
    "kind": "outreach",
    "audience": "open_leads",
    "rate_per_week": 0.2,
    "capacity_per_week": 10,
    "effect": EFFECT,
    "cost_per_contact_cents": 100,
}


def parsed(**changes: Any) -> Scenario:
    """Return a scenario from a document with one lever."""
    document = {"name": "more", "levers": [LEVER], **changes}
    return settings.validated(Scenario, document, where="more.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draw": 5}, "more.yaml: unknown key 'draw': did you mean 'draws'?"),
        (
            {"levers": [LEVER | {"capacity": 5}]},
            "lever 1: unknown key 'capacity': did you mean 'capacity_per_week'?",
        ),
        (
            {"levers": [LEVER, LEVER | {"effect": EFFECT | {"hazard": 2}}]},
            "effect: unknown key 'hazard': did you mean 'hazard_ratio'?",
        ),
        ({"name": "baseline"}, "more.yaml: 'Scenario': Value error, a scenario with levers must"),
    ],
)
def test_a_wrong_key_is_one_line_that_names_the_nearest(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(WrongUse) as caught:
        parsed(**changes)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [{"rate_per_week": 1.5}, {"capacity_per_week": -1}, {"effect": "guessed"}, {"kind": "price"}],
)
def test_a_value_out_of_range_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(WrongUse):
        parsed(levers=[LEVER | bad])


def test_the_answer_carries_the_lowest_grade() -> None:
    grades = ["randomised", "assumption", "observational"]
    levers = [LEVER | {"effect": EFFECT | {"grade": grade}} for grade in grades]
    assert parsed(levers=levers).grade() is Grade.ASSUMPTION
    assert parsed(levers=levers[::2]).grade() is Grade.OBSERVATIONAL
    assert parsed(levers=[]).grade() is None


def test_every_grade_has_its_words() -> None:
    assert set(scenario.GRADE_WORDS) == {None, *Grade}


def test_an_estimated_effect_must_be_known_before_the_kernel() -> None:
    asked = parsed(levers=[LEVER | {"effect": "estimated"}])
    assert asked.needs_estimate()
    with pytest.raises(ValueError, match="every effect must be known"):
        scenario.levers(asked)
    known = asked.with_effect(Effect(hazard_ratio=2.0, sd=0.2, grade=Grade.RANDOMISED))
    assert not known.needs_estimate() and known.grade() is Grade.RANDOMISED


@pytest.mark.parametrize("name", ["baseline", "outreach"])
def test_the_scenarios_that_ship_can_be_read(name: str) -> None:
    shipped = settings.load(Scenario, settings.named("scenarios", name))
    assert shipped.name == name
