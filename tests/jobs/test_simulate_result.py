"""The document of an answer: its numbers are those of the outcomes, and what should add up does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cluster.errors import FunnelcastError, WrongUse
from cluster.settings import SimulationSettings
from cluster.workspace import Workspace
from jobs.simulate import result, words
from jobs.simulate.question import SimulateSettings
from jobs.simulate.run import run
from serving.forecast import units
from serving.forecast.payoff import spread
from serving.simulations import courses, questions
from serving.simulations import levers as fitting
from serving.simulations.once import Once
from serving.simulations.words import Wrong
from serving.wire.simulations import SimulationRequest, SimulationResultOut
from tests.jobs.simulating import DESK, EFFECT, LEVER, SMALL, answered, company, quiet, scenario

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from jobs.simulate.answer import Answer
    from serving.forecast.funnels import Funnel
    from serving.wire.simulations import ArmOut, RangeOut

STRONG = LEVER | {"name": "calls", "effect": EFFECT | {"ratio": 4.0, "sd": 0.1}}
GOALS = {"won": 40, "value_cents": 5 * 10**8}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Return a workspace whose log holds the events of a small company."""
    with company(tmp_path_factory.mktemp("result")) as opened:
        yield opened


@pytest.fixture(scope="module")
def found(filled: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Return the answer to a comparison of three scenarios, one with two desks."""
    desks = [DESK, DESK | {"name": "field", "reps": 0}]
    several = [
        scenario("strong", levers=[STRONG, STRONG | {"rate": 0.1}], goals=GOALS),
        scenario("null", goals=GOALS),
        scenario("measured", levers=[LEVER | {"effect": "estimated"}], desks=desks, goals=GOALS),
    ]
    folder = tmp_path_factory.mktemp("asked")
    return answered(filled, folder, scenarios=several, against="null")


@pytest.fixture(scope="module")
def document(found: Answer) -> SimulationResultOut:
    """Return its document."""
    return result.told(found, "some-id")


def arm(document: SimulationResultOut, name: str) -> ArmOut:
    """Return an arm of a document."""
    return next(each for each in document.arms if each.name == name)


def triple(of: RangeOut) -> tuple[float, float, float]:
    """Return mean, low and high."""
    return of.mean, of.low, of.high


def test_business_as_usual_is_simulated_beside_the_scenarios(
    found: Answer, document: SimulationResultOut
) -> None:
    assert [each.name for each in document.arms] == ["baseline", "strong", "null", "measured"]
    assert document.against == "null" and document.id == "some-id"
    assert [each.payoff is None for each in document.arms] == [False, False, True, False]
    assert (document.step, document.steps, document.draws) == ("week", 8, 60)
    again = SimulationResultOut.model_validate_json(document.model_dump_json())
    assert again == document, "it travels"
    assert len(document.said) == len(set(document.said)) and document.coverage


def test_series_are_those_of_the_outcomes(found: Answer, document: SimulationResultOut) -> None:
    for each in document.arms:
        outcome = found.outcomes[each.name]
        for told, counts in ((each.won, outcome.won), (each.value_cents, outcome.cents)):
            so_far = counts.sum(axis=(2, 3)).cumsum(axis=1)
            assert told.mean == pytest.approx(so_far.mean(axis=0))
            for name, level in (("p05", 0.05), ("p25", 0.25), ("p50", 0.5), ("p95", 0.95)):
                low = np.sort(so_far, axis=0)[int(np.ceil(level * 60)) - 1]
                assert getattr(told, name) == low.tolist(), name
        mean = outcome.open.sum(axis=2).mean(axis=0)
        for place, stage in enumerate(each.stages):
            assert stage.mean == pytest.approx(mean[:, place])


def test_parts_and_slices_add_up_to_all(found: Answer, document: SimulationResultOut) -> None:
    for each in document.arms:
        *parts, whole = each.parts
        assert whole.part == "all" and len(parts) == 3
        total = found.outcomes[each.name].cents.sum(axis=(1, 2, 3))
        assert triple(whole.value_cents) == pytest.approx(tuple(spread(total)))
        for measure in ("won", "value_cents"):
            mean = getattr(whole, measure).mean
            assert sum(getattr(p, measure).mean for p in parts) == pytest.approx(mean)
            assert getattr(each, measure).mean[-1] == pytest.approx(mean)
            for dimension in ("segment", "team", "owner"):
                mine = [s for s in each.slices if s.dimension == dimension]
                assert sum(getattr(s, measure).mean for s in mine) == pytest.approx(mean)
        assert len({(s.dimension, s.value) for s in each.slices}) == len(each.slices)


def test_a_slice_is_that_of_its_groups(found: Answer, document: SimulationResultOut) -> None:
    each = next(s for s in arm(document, "strong").slices if s.value == "france")
    mine = (found.names.labels["segment"] == "france").to_numpy()
    won = found.outcomes["strong"].won[:, :, mine].sum(axis=(1, 2, 3))
    assert triple(each.won) == pytest.approx(tuple(spread(won))) and won.any()


def test_desks_make_no_more_than_they_can(found: Answer, document: SimulationResultOut) -> None:
    for each in document.arms:
        outcome = found.outcomes[each.name]
        contacts = outcome.contacts.sum(axis=(0, 1, 3)) / 60
        assert [sum(d.made) for d in each.desks] == pytest.approx(contacts)
        for place, desk in enumerate(each.desks):
            assert (np.array(desk.made) <= np.array(desk.capacity) + 1e-9).all()
            assert desk.waiting == pytest.approx(outcome.waiting[:, :, place].mean(axis=0))
    assert [desk.desk for desk in arm(document, "measured").desks] == ["inside", "field"]
    assert arm(document, "measured").desks[0].capacity == [9 * 8 * 5] * 8
    assert sum(arm(document, "strong").desks[0].made) > 0.0


def test_the_payoff_is_value_less_cost_on_the_same_luck(
    found: Answer, document: SimulationResultOut
) -> None:
    told, strong, null = arm(document, "strong"), found.outcomes["strong"], found.outcomes["null"]
    value = (strong.cents - null.cents).sum(axis=(2, 3))
    cost = 100 * (strong.contacts.sum(axis=(2, 3)) - null.contacts.sum(axis=(2, 3)))
    gain = (value - cost).cumsum(axis=1)
    pays = told.payoff
    assert pays is not None and pays.timing is not None
    assert triple(pays.value_cents) == pytest.approx(tuple(spread(value.sum(axis=1))))
    assert triple(pays.cost_cents) == pytest.approx(tuple(spread(cost.sum(axis=1))))
    assert triple(pays.gain_cents) == pytest.approx(tuple(spread(gain[:, -1])))
    assert pays.pays == pytest.approx((gain[:, -1] > 0).mean())
    assert told.downside.loses == pytest.approx((gain[:, -1] < 0).mean())
    first = pays.steps_to_value
    assert first is not None and gain.mean(axis=0)[first - 1] > 0.0
    assert (gain.mean(axis=0)[: first - 1] <= 0.0).all()
    assert pays.by_step.mean == pytest.approx(value.cumsum(axis=1).mean(axis=0))
    start = (strong.won - null.won)[..., :2].sum(axis=(1, 2, 3)).mean()
    assert pays.timing.more - pays.timing.displaced == pytest.approx(start)
    assert pays.timing.earlier > 0.0 and pays.timing.steps_gained > 0.0
    assert pays.won.mean > 0.0 and pays.contacts == pytest.approx(cost.sum() / 100 / 60)


def test_the_downside_is_that_of_the_draws(found: Answer, document: SimulationResultOut) -> None:
    totals = np.sort(found.outcomes["baseline"].cents.sum(axis=(1, 2, 3)))
    told = arm(document, "baseline").downside
    assert told.value_at_risk_cents == totals[2], "three of sixty are one in twenty"
    assert told.shortfall_cents == pytest.approx(totals[:3].mean())
    assert told.goals["value_cents"] == pytest.approx((totals >= GOALS["value_cents"]).mean())
    assert arm(document, "null").downside.loses is None


def test_evidence_is_told_of_each_lever(document: SimulationResultOut) -> None:
    strong, measured = arm(document, "strong"), arm(document, "measured")
    assert [each.lever for each in strong.evidence] == ["calls 1", "calls 2"]
    assert {each.code for each in strong.evidence} == {"E3"} and strong.label == "assumption"
    (one,) = measured.evidence
    assert (one.lever, one.code, measured.label) == ("outreach", "E1", None)
    assert one.low is not None and one.ratio is not None and one.high is not None
    assert one.low < one.ratio < one.high and one.said.startswith("randomised: measured")
    assert (measured.grade, document.grade) == ("randomised", "assumption")
    assert arm(document, "baseline").grade is None and not arm(document, "baseline").evidence


def test_the_job_keeps_the_document_and_writes_it_beside_the_page(
    filled: Workspace, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"scenario": "outreach,baseline", "runner": "inline", **SMALL}
    report = run(filled, SimulateSettings(to=str(tmp_path), **settings), quiet)
    kept = filled.blobs.get(str(report.wrote["result"]))
    assert (tmp_path / "forecast-outreach-baseline-result.json").read_bytes() == kept
    told = SimulationResultOut.model_validate_json(kept)
    assert [each.name for each in told.arms] == ["outreach", "baseline"]
    assert told.against == "baseline" and told.id == report.wrote["run"]
    assert report.wrote["ref"] == "forecasts/outreach-baseline"


def test_an_hour_is_worth_what_more_of_them_bring(filled: Workspace, tmp_path: Path) -> None:
    """A desk that is short of hours is worth more of them; one that is never full is not."""
    few = [DESK | {"reps": 1}, DESK | {"name": "idle", "reps": 3}]
    asked = scenario("strong", levers=[STRONG], desks=few)
    found = answered(filled, tmp_path, scenarios=[asked], hour_price=True)
    assert list(found.outcomes) == ["baseline", "strong"] and len(found.asked.arms) == 4
    short, idle = arm(result.told(found, "x"), "strong").hour_prices
    assert (short.desk, idle.desk) == ("inside", "idle")
    assert short.more_hours == pytest.approx(8 * 4 * 0.5), "a tenth of 40 contacts of half an hour"
    assert short.value_cents_per_hour.mean > 0.0 and short.won_per_hour.mean > 0.0
    assert triple(idle.value_cents_per_hour) == (0.0, 0.0, 0.0)
    assert not result.told(answered(filled, tmp_path, scenarios=[asked]), "x").arms[1].hour_prices


def test_a_plan_keeps_to_its_budget_and_is_simulated(filled: Workspace, tmp_path: Path) -> None:
    asked = scenario("strong", levers=[STRONG | {"rate": 0.2}], desks=[DESK], draws=100)
    plan = {"scenario": "strong", "budget_cents": 9_000}
    found = answered(filled, tmp_path, scenarios=[asked], plan=plan)
    document = result.told(found, "x")
    assert list(found.outcomes) == ["baseline", "strong", "plan"]
    told, planned = document.plan, arm(document, "plan").payoff
    assert told is not None and planned is not None and told.scenario == "strong"
    assert 0.6 * 9_000 < told.spent_cents < 1.15 * 9_000
    assert told.spent_cents == pytest.approx(planned.cost_cents.mean)
    assert all(0.0 <= cell.share <= 1.0 for cell in told.cells)
    shares = {cell.share for cell in told.cells}
    assert 0.0 in shares and max(shares) > 0.0, "it chooses"
    assert told.budget_price > 0.0 and set(told.hour_price_cents) == {"inside"}
    assert told.regret_cents.low >= 0.0
    gains = [cell.gain_cents_per_contact for cell in told.cells if cell.share > 0.0]
    others = [cell.gain_cents_per_contact for cell in told.cells if cell.share == 0.0]
    assert min(gains) >= max(others), "those that gain most for what they cost come first"


def test_what_a_plan_expects_is_what_its_simulation_brings(
    filled: Workspace, tmp_path: Path
) -> None:
    """Where nobody waits and nobody tires: contacts and gain, within the error of the draws."""
    lever = STRONG | {"rate": 0.1, "stages": ["discovery", "lead"], "effect": EFFECT | {"ratio": 2}}
    asked = scenario("mild", levers=[lever | {"by": "system"}], desks=[], draws=600)
    plan = {"scenario": "mild", "budget_cents": 10**9}
    found = answered(filled, tmp_path, scenarios=[asked], plan=plan)
    document = result.told(found, "x")
    told, planned = document.plan, arm(document, "plan").payoff
    assert told is not None and planned is not None
    expected = sum(cell.contacts for cell in told.cells if cell.share > 0.0)
    assert planned.contacts == pytest.approx(expected, rel=0.05)
    gain = sum(cell.contacts * cell.gain_cents_per_contact for cell in told.cells if cell.share)
    assert planned.gain_cents.mean == pytest.approx(gain, rel=0.2)
    assert told.budget_price == 0.0, "there is more money than it can spend"


@pytest.mark.parametrize(
    ("levers", "message"),
    [
        ([{"kind": "price", "stages": ["negotiation"], "discount": 0.1, "effect": "estimated"}],
         "run python -m jobs.effects --action price, or state it with grade 'assumption'"),
        ([{"kind": "campaign", "budget": 9.0, "response": "estimated"}],
         "a budget must lie within those seen"),
        ([LEVER | {"routed": {"policy": "lead_routing", "routes": ["nurture"]}}],
         "a policy routes by scores"),
        ([LEVER | {"routed": {"policy": "lead_rooting", "routes": ["nurture"]}}], "lead_routing"),
        ([{"kind": "campaign", "budget": 1.1, "segments": ["france"],
           "response": {"elasticity": 0.5, "sd": 0.1, "grade": "assumption"}}],
         "the spend of a campaign must be known"),
    ],
)  # fmt: skip
def test_what_cannot_be_known_is_one_line(
    filled: Workspace, tmp_path: Path, levers: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(FunnelcastError, match=message) as caught:
        answered(filled, tmp_path, scenarios=[scenario("asked", levers=levers)])
    assert "\n" not in str(caught.value)


def test_a_budget_that_was_never_seen_is_wrong_use(filled: Workspace, tmp_path: Path) -> None:
    """The log says enough: it is the question that is to be changed."""
    lever = {"kind": "campaign", "budget": 9.0, "response": "estimated"}
    with pytest.raises(WrongUse, match="a budget must lie within those seen"):
        answered(filled, tmp_path, scenarios=[scenario("asked", levers=[lever])])


def test_the_log_is_read_once_for_the_campaigns_of_a_question(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not again for what differs in nothing that the log is asked about."""
    reads: list[datetime] = []
    once = Once(9)
    read = units.read

    def counted(events: pa.Table, funnel: Funnel, at: datetime) -> units.Course:
        reads.append(at)
        return read(events, funnel, at)

    monkeypatch.setattr(courses.units, "read", counted)

    def wrong(*budgets: float, **more: object) -> Wrong | None:
        told = {"kind": "campaign", "response": "estimated", "spend_per_step_cents": 1, **more}
        levers = [told | {"budget": budget} for budget in budgets]
        asked = SimulationRequest(scenarios=[scenario("asked", levers=levers)])
        comparison = questions.read(asked)
        assert not isinstance(comparison, Wrong)
        question = questions.put(filled, comparison, None)
        assert not isinstance(question, Wrong)
        return fitting.wrong(filled, question, once)

    assert wrong(0.8, 0.9, 1.0) is None and len(reads) == 1
    assert wrong(1.0, 0.8, name="other", first_step=3) is None and len(reads) == 1
    assert "lever 2: a budget must lie within those seen" in str(wrong(1.0, 9.0))
    assert len(reads) == 2


def test_what_would_not_fit_into_memory_is_refused_before_it_is_simulated(
    filled: Workspace, tmp_path: Path
) -> None:
    """By the groups that there are; with how many draws would fit."""
    few = SimulationSettings(result_bytes=1_000_000)
    settings = filled.settings.model_copy(update={"simulations": few})
    narrow = Workspace(**{**vars(filled), "settings": settings})
    with pytest.raises(WrongUse, match=r"must take at most 0.001 GB .* ask for \d+ draws at most"):
        answered(narrow, tmp_path, scenarios=[scenario("asked")])


def test_more_says_what_rate_it_became(filled: Workspace, tmp_path: Path) -> None:
    more = {**LEVER, "rate": None, "more": 0.5, "stages": ["lead"]}
    found = answered(filled, tmp_path, scenarios=[scenario("more", levers=[more])])
    (past,) = found.ways["more"].pasts
    assert 0.0 < past.per_step < 1.0 and past.counted == "treated lots of 'outreach'"
    (said,) = [line for line in words.said(found) if line.startswith("more: 50% more than")]
    assert said.endswith(f"is a rate of {0.5 * past.per_step:.4f}")
    made = found.outcomes["more"].contacts.sum()
    assert made > 0
