"""The planner's form: what is shown and read again is the same question, and each wrong field is
told in one line beside it.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.errors import Refusal, WrongUse
from cluster.settings import CONFIGS, load
from serving.forecast.scenario import Scenario
from serving.planner import documents, form, placing, plain, sheet
from serving.wire.simulations import SimulationRequest

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,12}", fullmatch=True)
WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9 .-]{0,10}[A-Za-z]", fullmatch=True)
ANY_TEXT = st.text(min_size=1, max_size=12).filter(lambda text: "\0" not in text)
CENTS = st.integers(0, 10**12)


def _floats(least: float, most: float, **more: Any) -> st.SearchStrategy[float]:
    return st.floats(least, most, allow_nan=False, **more)


EFFECT = st.just("estimated") | st.fixed_dictionaries(
    {
        "ratio": _floats(0.01, 100.0),
        "sd": _floats(0.0, 2.0),
        "lost_ratio": _floats(0.01, 100.0),
        "lost_sd": _floats(0.0, 2.0),
        "lasts": st.integers(1, 260),
        "grade": st.just("assumption"),
    }
)
RESPONSE = st.just("estimated") | st.fixed_dictionaries(
    {"elasticity": _floats(-1.0, 3.0), "sd": _floats(0.0, 2.0), "grade": st.just("assumption")}
)
WHEN = {"name": st.none() | WORDS, "first_step": st.integers(0, 99)}
LAST = {"last_step": st.none() | st.integers(99, 200)}
ROUTED = st.none() | st.fixed_dictionaries(
    {
        "policy": NAMES,
        "version": st.none() | st.integers(1, 99),
        "routes": st.lists(NAMES, min_size=1, max_size=3, unique=True),
        "at_least": st.dictionaries(NAMES, _floats(0.0, 1.0), max_size=2),
    }
)
WHO = {
    **WHEN,
    **LAST,
    "stages": st.lists(NAMES, min_size=1, max_size=3, unique=True),
    "audience": st.sampled_from(["open", "all"]),
    "segments": st.lists(ANY_TEXT, max_size=3, unique=True),
    "teams": st.lists(ANY_TEXT, max_size=3, unique=True),
    "bands": st.lists(st.integers(1, 9), max_size=3, unique=True),
    "stalled_steps": st.integers(0, 520),
    "routed": ROUTED,
}
OFTEN = st.fixed_dictionaries({"rate": _floats(0.0, 1.0)}) | st.fixed_dictionaries(
    {"more": _floats(0.001, 10.0)}
)


def _lever(kind: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(kind), **members})


OUTREACH = st.builds(
    dict.__or__,
    _lever(
        "outreach",
        **WHO,
        action=NAMES,
        channel=st.none() | NAMES,
        by=st.sampled_from(["reps", "system"]),
        effect=EFFECT,
        saturation=_floats(0.0, 10.0),
        unsubscribe=_floats(0.0, 10.0),
        minutes_per_contact=_floats(0.5, 480.0),
        cost_per_contact_cents=CENTS,
    ),
    OFTEN,
)
PRICE = _lever("price", **WHO, discount=_floats(-1.0, 0.999), effect=EFFECT)
CAMPAIGN = _lever(
    "campaign",
    **WHEN,
    **LAST,
    stages=st.lists(NAMES, max_size=2, unique=True),
    segments=st.lists(ANY_TEXT, max_size=2, unique=True),
    teams=st.lists(ANY_TEXT, max_size=2, unique=True),
    budget=_floats(0.0, 10.0),
    response=RESPONSE,
    spend_per_step_cents=st.none() | CENTS,
)
REPS = _lever(
    "reps",
    **WHEN,
    **LAST,
    desk=st.just("phone"),
    more=st.integers(-1_000, 100_000),  # two of them leave some
    cost_per_rep_step_cents=CENTS,
)
QUEUE = _lever(
    "queue", **WHEN, desk=st.just("phone"), queue=st.sampled_from(["fifo", "freshest", "priority"])
)
KINDS = {"outreach": OUTREACH, "price": PRICE, "campaign": CAMPAIGN, "reps": REPS, "queue": QUEUE}
AWAY = st.fixed_dictionaries(
    {"first": st.just("2026-03-02"), "last": st.just("2026-03-06"), "reps": st.integers(1, 9)}
)
DESK = st.fixed_dictionaries(
    {
        "name": st.just("phone"),
        "teams": st.lists(ANY_TEXT, max_size=2, unique=True),
        "reps": st.integers(2_000, 100_000),
        "contacts_per_day": _floats(0.01, 1_000.0),
        "weekdays": st.lists(st.sampled_from(["mon", "wed", "sun"]), min_size=1, unique=True),
        "holidays": st.lists(st.dates().map(str), max_size=2),
        "away": st.lists(AWAY, max_size=2),
        "queue": st.sampled_from(["fifo", "freshest", "priority"]),
    }
)
SHARED = st.fixed_dictionaries(
    {
        "funnel": NAMES,
        "horizon": st.integers(100, 520),  # levers are pulled within it
        "draws": st.integers(1, 100_000),
        "seed": st.integers(0, 10**15 - 1),
        "goals": st.fixed_dictionaries({}, optional={"won": CENTS, "value_cents": CENTS}),
        "fading": _floats(0.0, 1.0),
        "desks": st.tuples(DESK),
    }
)


def _comparison(levers: st.SearchStrategy[Any]) -> st.SearchStrategy[SimulationRequest]:
    """Comparisons of two scenarios of one funnel with the same desks."""

    def made(shared: dict[str, Any], first: list[Any], second: list[Any], more: Any) -> Any:
        arms = [("a_first", first), ("b-2", second)]
        scenarios = [{**shared, "name": name, "levers": levers} for name, levers in arms]
        return SimulationRequest.model_validate({"scenarios": scenarios, **more})

    more = st.fixed_dictionaries(
        {
            "against": st.sampled_from(["baseline", "a_first"]),
            "hour_price": st.booleans(),
            "as_of": st.none() | st.just("2026-02-01T09:30:00Z"),
            "plan": st.none()
            | st.fixed_dictionaries({"scenario": st.just("b-2"), "budget_cents": CENTS}),
        }
    )
    several = st.lists(levers, max_size=2)
    return st.builds(made, SHARED, several, several, more)


def _same(asked: SimulationRequest) -> None:
    scenarios = [Scenario.model_validate(each) for each in asked.scenarios]
    once = documents.filled(scenarios, asked)
    sent = sheet.parsed(sheet.flat(once))
    again = form.read(sent)
    assert isinstance(again, SimulationRequest), again
    assert [Scenario.model_validate(each) for each in again.scenarios] == scenarios
    assert again.model_copy(update={"scenarios": []}) == asked.model_copy(update={"scenarios": []})
    assert documents.filled([Scenario.model_validate(s) for s in again.scenarios], again) == once


@pytest.mark.parametrize("kind", KINDS)
def test_a_form_says_again_what_was_asked(kind: str) -> None:
    """Of every kind of lever: document, form, as a browser sends it, document, form."""

    @settings(suppress_health_check=[HealthCheck.too_slow])  # the first one makes its tables
    @given(asked=_comparison(KINDS[kind]))
    def check(asked: SimulationRequest) -> None:
        _same(asked)

    check()


@pytest.mark.parametrize("path", sorted((CONFIGS / "scenarios").glob("*.yaml")), ids=str)
def test_every_preset_can_be_filled_in(path: Any) -> None:
    """And the form of it asks the same again."""
    scenario = load(Scenario, path)
    again = form.read(documents.added(sheet.empty(), scenario))
    assert isinstance(again, SimulationRequest), again
    assert Scenario.model_validate(again.scenarios[0]) == scenario


def _lever_sheet(kind: str, **texts: str) -> sheet.Sheet:
    lever = sheet.new_lever(kind) | {"stages": ("lead",)}
    lever |= {name.replace("__", "."): (text,) for name, text in texts.items()}
    start = sheet.changed(sheet.empty(), "add-desk")
    return sheet.Sheet(
        top=start.top,
        desks=start.desks,
        scenarios=(sheet.Column(own={"name": ("more",)}, levers=(lever,)),),
    )


WRONG = {
    "rate": ({"often": "rate", "rate": "-5"}, "must be at least 0 %, got -5 %: change it"),
    "more": ({"more": "a lot"}, "must be a number, got 'a lot': write it as 1.5"),
    "cost_per_contact_cents": ({"more": "20", "cost_per_contact_cents": "1.005"}, "2 decimals"),
    "stages": ({"more": "20", "stages": ""}, "must be chosen: tick at least one"),
    "effect.ratio": ({"more": "20", "effect__by": "stated"}, "must be given: write it"),
    "effect.lasts": (
        {"more": "20", "effect__by": "stated", "effect__ratio": "1.2", "effect__lasts": "0"},
        "must be at least 1 {step}s, got 0 {step}s",
    ),
    "stalled_steps": ({"more": "20", "stalled_steps": "1.5"}, "must be a whole number"),
    "last_step": (
        {"more": "20", "first_step": "5", "last_step": "3"},
        "must not be before 5, got 3: change one of both",
    ),
    "first_step": (
        {"more": "20", "first_step": "27"},
        "must be one of the 26 {step}s that are looked at, got 27",
    ),
    "action": ({"more": "20", "action": "Call!"}, "must be small letters"),
    "channel": ({"more": "20", "channel": "/etc"}, "must be small letters"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_beside_its_field(name: str) -> None:
    """In one line, with the rule, in the unit of the field."""
    texts, said = WRONG[name]
    found = form.read(_lever_sheet("outreach", **texts))
    assert isinstance(found, dict)
    assert list(found) == [f"s0.l0.{name}"]
    assert said in found[f"s0.l0.{name}"]
    assert "\n" not in found[f"s0.l0.{name}"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Also what was left empty, beside what cannot be read."""
    found = form.read(_lever_sheet("outreach", more="lots", stages="", effect__by="stated"))
    assert isinstance(found, dict)
    assert list(found) == ["s0.l0.more", "s0.l0.effect.ratio", "s0.l0.stages"]
    found = form.read(_lever_sheet("outreach", stages=""))
    assert isinstance(found, dict)
    assert set(found) == {"s0.l0.more", "s0.l0.stages"}


def test_what_is_wrong_with_all_is_said_of_the_form() -> None:
    """Nothing to compare, a name twice, a plan of nothing, a time without a zone."""
    assert list(_problems(sheet.empty())) == [form.FORM]
    twice = sheet.changed(_lever_sheet("reps"), "add-scenario")
    twice = sheet.parsed({**sheet.flat(twice), "s1.name": ("More",)})
    assert "must be its own" in _problems(twice)["s1.name"]
    more = {"plan": ("yes",), "plan_of": ("nobody",), "as_of": ("2026-01-01T10:00",)}
    asked = sheet.parsed({**sheet.flat(_lever_sheet("reps", desk="outreach")), **more})
    assert set(_problems(asked)) == {"as_of"}
    asked = sheet.parsed({**sheet.flat(asked), "as_of": ("",), "against": ("nobody",)})
    assert set(_problems(asked)) == {"plan_of", "plan_budget", "against"}


def _problems(asked: sheet.Sheet) -> form.Problems:
    found = form.read(asked)
    assert isinstance(found, dict)
    return found


def test_a_lever_needs_a_desk_that_there_is() -> None:
    """What a scenario says of its levers together stands beside its name."""
    found = _problems(_lever_sheet("reps", desk="night shift"))
    assert "night shift" in found["s0.name"]


@given(
    st.dictionaries(
        st.text(max_size=12) | st.sampled_from(["s0.l0.kind", "d0.reps", "horizon", "s0.name"]),
        st.lists(st.text(max_size=20), max_size=3).map(tuple),
        max_size=8,
    )
)
def test_whatever_a_browser_sends_is_read_or_told(texts: dict[str, tuple[str, ...]]) -> None:
    """Nothing breaks."""
    assert isinstance(form.read(sheet.parsed(texts)), SimulationRequest | dict)


def test_buttons_add_copy_and_drop() -> None:
    """Each does one thing, and does not go beyond what may be."""
    start = sheet.empty()
    made = sheet.changed(sheet.changed(start, "add-scenario"), "add-lever:0:price")
    assert [len(each.levers) for each in made.scenarios] == [1]
    made = sheet.changed(made, "copy-scenario:0")
    assert [sheet.one(each.own, "name") for each in made.scenarios] == ["scenario", "scenario copy"]
    made = sheet.changed(sheet.changed(made, "drop-lever:0:0"), "drop-scenario:1")
    assert [len(each.levers) for each in made.scenarios] == [0]
    for _ in range(12):
        made = sheet.changed(sheet.changed(made, "add-scenario"), "add-lever:0:queue")
    assert (len(made.scenarios), len(made.scenarios[0].levers)) == (8, 8)
    for do in ("", "add-lever:9:price", "add-lever:0:nothing", "drop-scenario:77", "drop-lever:x"):
        assert sheet.changed(made, do) == made


def test_desks_that_differ_are_not_put_into_one_form() -> None:
    """A comparison has each desk once."""
    desk = {"name": "phone", "reps": 1, "contacts_per_day": 1}
    one, two = (
        Scenario.model_validate({"name": name, "desks": [{**desk, "reps": reps}]})
        for name, reps in (("a", 1), ("b", 2))
    )
    with pytest.raises(WrongUse, match="'phone' in two ways"):
        documents.filled([one, two])


REFUSED = {
    "scenario 'more': lever 1: a segment must be known, got 'x': y": "s0.l0.segments",
    "scenario 'more': lever 1: desk must be what it is, got 'x': y": "s0.l0.name",
    "scenario 'more': it must be another, got 'x': y": "s0.name",
    "scenario 'nobody': lever 1: a team must be known, got 'x': y": form.FORM,
    "a simulation must be of at most 9 steps, got 10: ask for 5 draws at most": "draws",
    "a planner must have at most 3 under way, got more: wait": form.FORM,
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_refusal_of_the_service_finds_its_field(line: str) -> None:
    """By the words that the service has for it; what it says of no field is said of the form."""
    rule, value, remedy = re.fullmatch(r"(.*), got (.*?): (.*)", line).groups()  # type: ignore[union-attr]
    why = Refusal(rule=rule, value=value, remedy=remedy)
    filled = _lever_sheet("outreach", more="20")
    found = placing.placed(filled, why)
    assert list(found) == [REFUSED[line]]
    assert value in found[REFUSED[line]]


@given(st.decimals(-(10**9), 10**9, places=4))
def test_a_number_is_shown_as_it_is_read(value: Any) -> None:
    """Shares as percent, cents as the currency."""
    share = float(value)
    assert plain.PERCENT.read(plain.PERCENT.show(share)) == share
    cents = int(value)
    assert plain.MONEY.read(plain.MONEY.show(cents)) == cents


@given(st.text(max_size=80))
def test_names_of_scenarios_are_what_documents_take(text: str) -> None:
    """And names in words are read as the same name."""
    name = plain.name_of(text)
    if name:
        assert Scenario.model_validate({"name": f"x{name}"[:60]})
        assert plain.name_of(plain.words_of(name)) == name
