"""Scenarios: what is refused in one clear line, what is estimated, which grade the answer carries,
and what its names become for the kernel."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cluster import settings
from cluster.errors import Refusal, WrongUse
from serving.forecast import evidence, pulled, reaching
from serving.forecast import scenario as scenarios
from serving.forecast.desks import DISCIPLINES
from serving.forecast.evidence import Effect, Grade
from serving.forecast.history import NOTHING, Past
from serving.forecast.pulled import Names
from serving.forecast.scenario import Scenario

EFFECT = {"ratio": 1.3, "sd": 0.1, "grade": "assumption"}
DESK = {"name": "inside", "reps": 2, "contacts_per_day": 4}
LEVER = {
    "kind": "outreach",
    "stages": ["lead"],
    "rate": 0.2,
    "effect": EFFECT,
    "cost_per_contact_cents": 100,
}
MONDAY = date(2026, 3, 2)
NAMES = Names(
    stages=("lead", "discovery", "proposal"),
    strata=4,
    labels=pd.DataFrame(
        [("north", "red", "ann"), ("north", "blue", "bo"), ("south", "blue", "bo")],
        columns=["segment", "team", "owner"],
    ),
)


def parsed(**changes: Any) -> Scenario:
    """Return a scenario from a document with one desk and one lever."""
    document = {"name": "more", "desks": [DESK], "levers": [LEVER], **changes}
    return settings.validated(Scenario, document, where="more.yaml")


def with_lever(**changes: Any) -> Scenario:
    """Return a scenario whose lever is another."""
    return parsed(levers=[LEVER | changes])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draw": 5}, "more.yaml: unknown key 'draw': did you mean 'draws'?"),
        (
            {"levers": [LEVER | {"stage": "lead"}]},
            "lever 1: unknown key 'stage': did you mean 'stages'?",
        ),
        (
            {"levers": [LEVER, LEVER | {"effect": EFFECT | {"ratios": 2}}]},
            "effect: unknown key 'ratios': did you mean 'ratio'?",
        ),
        (
            {"desks": [DESK, DESK | {"name": "b", "holiday": []}]},
            "desk 2: unknown key 'holiday': did you mean 'holidays'?",
        ),
        ({"name": "baseline"}, "more.yaml: 'Scenario': Value error, a scenario with levers must"),
        ({"name": "difference"}, "more.yaml: 'Scenario': Value error, a scenario with levers must"),
        ({"desks": []}, "more.yaml: 'Scenario': Value error, levers need desks that make the"),
        ({"desks": [DESK, DESK]}, "more.yaml: 'Scenario': Value error, every desk must have a"),
        (
            {"levers": [LEVER | {"first_step": 3, "last_step": 2}]},
            "lever 1: 'Outreach': Value error, last_step must not be before first_step 3, got 2",
        ),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_nearest(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(WrongUse) as caught:
        parsed(**changes)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        {"rate": 1.5},
        {"stages": []},
        {"effect": "guessed"},
        {"kind": "price"},
        {"saturation": -0.1},
        {"effect": EFFECT | {"ratio": 0.0}},
        {"effect": EFFECT | {"lasts": 0}},
    ],
)
def test_a_value_of_a_lever_out_of_range_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(WrongUse):
        with_lever(**bad)


@pytest.mark.parametrize(
    "bad", [{"reps": -1}, {"queue": "lifo"}, {"weekdays": ["monday"]}, {"contacts_per_day": 0}]
)
def test_a_value_of_a_desk_out_of_range_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(WrongUse):
        parsed(desks=[DESK | bad])


def test_a_goal_is_of_what_is_counted() -> None:
    assert parsed(goals={"won": 12, "value_cents": 5}).goals == {"won": 12, "value_cents": 5}
    with pytest.raises(WrongUse):
        parsed(goals={"profit": 1})


def test_a_scenario_without_levers_may_have_any_name_and_needs_no_desk() -> None:
    assert parsed(name="baseline", levers=[], desks=[]).grade() is None
    asked = parsed()
    assert asked.baseline().name == "baseline" and not asked.baseline().levers
    assert asked.baseline().desks == asked.desks


def test_the_answer_carries_the_lowest_grade() -> None:
    found = [Effect(ratio=1.3, sd=0.1, grade=grade) for grade in Grade]
    asked = parsed(levers=[LEVER] * 3)
    assert asked.with_evidence(found).grade() is Grade.ASSUMPTION
    assert parsed(levers=[LEVER] * 2).with_evidence(found[:2]).grade() is Grade.OBSERVATIONAL
    assert parsed(levers=[]).grade() is None


def test_what_a_planner_says_besides_lowers_the_grade(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measured effect that wears off as nobody measured, or drives people away, is no E1 any
    more; what is decided, such as how often, or what changes nothing, lowers none.
    """
    known = [Effect(ratio=1.3, sd=0.1, grade=Grade.RANDOMISED)]

    def graded(**changes: Any) -> Grade | None:
        return with_lever(**changes).with_evidence(known).grade()

    decided = {"rate": 0.9, "cost_per_contact_cents": 9, "minutes_per_contact": 3.0}
    assert graded(**decided, saturation=0.0) is Grade.RANDOMISED
    assert parsed(fading=0.1).with_evidence(known).grade() is Grade.RANDOMISED
    assumed = [{"saturation": 0.1}, {"unsubscribe": 0.002}]
    assert {graded(**each) for each in assumed} == {Grade.ASSUMPTION}
    monkeypatch.setattr(scenarios, "written", lambda lever: ())
    assert {graded(**each) for each in assumed} == {Grade.RANDOMISED}, "the mutant"


@pytest.mark.parametrize("grade", ["randomised", "observational"])
def test_evidence_is_earned_by_an_estimate(grade: str) -> None:
    with pytest.raises(WrongUse, match="grade must be 'assumption' for a number that is written"):
        with_lever(effect=EFFECT | {"grade": grade})


def test_every_grade_has_its_words() -> None:
    assert set(evidence.GRADE_WORDS) == {None, *Grade}


def test_an_estimated_effect_must_be_known_before_the_kernel() -> None:
    asked = with_lever(effect="estimated")
    assert asked.needs_estimate()
    with pytest.raises(ValueError, match="every effect must be known"):
        reaching.pulled(asked, NAMES, [NOTHING])
    known = asked.with_evidence([Effect(ratio=2.0, sd=0.2, grade=Grade.RANDOMISED)])
    assert parsed().with_evidence([None]) == parsed()
    assert not known.needs_estimate() and known.grade() is Grade.RANDOMISED


@pytest.mark.parametrize("name", ["baseline", "outreach"])
def test_the_scenarios_that_ship_can_be_read(name: str) -> None:
    shipped = settings.load(Scenario, settings.named("scenarios", name))
    assert shipped.name == name


# as the kernel takes it


def test_a_lever_is_for_whom_it_names() -> None:
    levers = [
        LEVER,
        LEVER | {"stages": ["proposal", "lead"], "segments": ["north"], "teams": ["blue"]},
        LEVER | {"bands": [1, 3], "audience": "open", "first_step": 2, "last_step": 5},
    ]
    asked = parsed(levers=levers, horizon=9, fading=0.5)
    found = reaching.pulled(asked, NAMES, [Past(0.25, 0.1)] * 3)
    assert found.stages.tolist() == [
        [True, False, False],
        [True, False, True],
        [True, False, False],
    ]
    assert found.groups.tolist() == [[True] * 3, [False, True, False], [True] * 3]
    assert found.strata.tolist() == [[True] * 4, [True] * 4, [False, True, False, True]]
    assert found.parts.tolist() == [[True] * 3, [True] * 3, [True, True, False]]
    assert found.first.tolist() == [0, 0, 2] and found.last.tolist() == [8, 8, 5]
    assert found.log_ratio == pytest.approx([math.log(1.3)] * 3)
    assert found.contacted.tolist() == [0.25] * 3 and found.decay == 0.5


def test_without_levers_there_are_none_of_the_sizes_of_the_funnel() -> None:
    found = reaching.pulled(parsed(levers=[]), NAMES, [])
    assert [mask.shape for mask in found[:4]] == [(0, 3), (0, 4), (0, 3), (0, 3)]


@pytest.mark.parametrize(
    ("changes", "value", "remedy"),
    [
        ({"stages": ["discovry"]}, "discovry", "did you mean 'discovery'?"),
        ({"segments": ["nort"]}, "nort", "did you mean 'north'?"),
        ({"teams": ["blu"]}, "blu", "did you mean 'blue'?"),
        ({"bands": [4]}, "4", "valid are: 1, 2, 3"),
        ({"bands": [0]}, "0", "valid are: 1, 2, 3"),
    ],
)
def test_what_the_funnel_does_not_have_is_refused(
    changes: dict[str, Any], value: str, remedy: str
) -> None:
    refusal = pulled.fitting(with_lever(**changes), NAMES)
    assert isinstance(refusal, Refusal) and (refusal.value, refusal.remedy) == (value, remedy)


def test_a_desk_serves_a_team_that_there_is() -> None:
    refusal = pulled.fitting(parsed(desks=[DESK | {"teams": ["rad"]}]), NAMES)
    assert isinstance(refusal, Refusal) and refusal.remedy == "did you mean 'red'?"


def test_without_scores_there_is_no_band() -> None:
    refusal = pulled.fitting(with_lever(bands=[1]), NAMES._replace(strata=1))
    assert isinstance(refusal, Refusal) and refusal.remedy == "leave it out"


def test_what_fits_is_returned() -> None:
    asked = with_lever(segments=["south"], teams=["red"], bands=[1, 3])
    assert pulled.fitting(asked, NAMES) is asked


@pytest.mark.parametrize(
    ("teams", "desks"),
    [
        ([[]], [0, 0, 0]),
        ([["red"], []], [0, 1, 1]),
        ([[], ["red"]], [1, 0, 0]),
        ([["blue"], ["red"]], [1, 0, 0]),
        ([["blue"], [], []], [1, 0, 0]),
        ([["blue"]], [0, 0, 0]),
        ([], [0, 0, 0]),
    ],
)
def test_a_unit_is_of_the_desk_of_its_team_or_of_that_of_no_team(
    teams: list[list[str]], desks: list[int]
) -> None:
    given = [DESK | {"name": f"desk {n}", "teams": each} for n, each in enumerate(teams)]
    assert pulled.desk_of(parsed(levers=[], desks=given), NAMES).tolist() == desks


def capacity(days: int = 7, horizon: int = 3, first: date = MONDAY, **changes: Any) -> list[int]:
    """Return the contacts that one desk of two reps can make in each step."""
    asked = parsed(desks=[DESK | changes], horizon=horizon)
    made = pulled.desks(asked, NAMES, first, days_per_step=days).capacity
    return [int(each) for each in made[0]]


def test_a_desk_can_do_what_its_calendar_says() -> None:
    assert capacity() == [40, 40, 40]
    assert capacity(weekdays=["mon", "sat"]) == [16, 16, 16]
    assert capacity(holidays=["2026-03-04", "2026-03-14"]) == [32, 40, 40]
    away = {"first": "2026-03-10", "last": "2026-03-17"}
    assert capacity(away=[away]) == [40, 24, 32], "four working days, then two, of one rep"
    assert capacity(away=[away | {"reps": 9}]) == [40, 8, 24]
    assert capacity(days=1, horizon=7, first=date(2026, 3, 5)) == [8, 8, 0, 0, 8, 8, 8]


def test_a_part_of_a_contact_counts_as_it_was_written() -> None:
    """Ten times 0.1 is one contact, though not so in floating point."""
    assert capacity(days=1, horizon=5, reps=1, contacts_per_day=0.2) == [0, 0, 0, 0, 1]
    assert capacity(reps=1, contacts_per_day=0.1, horizon=4) == [0, 1, 0, 1]


def test_desks_keep_their_queue_and_serve_the_highest_band_first() -> None:
    queues = ["priority", "fifo", "freshest"]
    given = [DESK | {"name": queue, "queue": queue} for queue in queues]
    found = pulled.desks(parsed(desks=given), NAMES, MONDAY, days_per_step=7)
    assert [DISCIPLINES[each] for each in found.discipline] == queues
    assert np.all(np.diff(found.rank) > 0) and len(found.rank) == NAMES.strata


def test_without_a_desk_nobody_contacts() -> None:
    found = pulled.desks(parsed(levers=[], desks=[]), NAMES, MONDAY, days_per_step=7)
    assert found.capacity.shape == (1, 26) and not found.capacity.any()
