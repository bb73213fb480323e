"""The effect of outreach: a planted one is found, a naive comparison misses it, too little is
refused; and which lots and contacts of a log count."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cluster.errors import Refusal
from features import log
from serving.forecast import effect, person, units
from serving.forecast.effect import Lots
from serving.forecast.evidence import Grade
from serving.forecast.funnels import DAY, load_funnel

SALES = load_funnel("sales")
WEEK = 7 * DAY
AT = 200 * WEEK
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HALF = effect.PPM // 2


def past(n: int, ratio: float, seed: int = 4) -> Lots:
    """Return lots of leads of which the keen qualify sooner and were contacted more often."""
    rng = np.random.default_rng(seed)
    keen = rng.random(n) < 0.4
    chance = np.where(keen, 0.8, 0.2)
    treated = rng.random(n) < chance
    rate = np.where(keen, 0.08, 0.02) * np.where(treated, ratio, 1.0)
    time = rng.integers(100, 150, n) * WEEK
    ends = time + (rng.exponential(1.0 / rate) * WEEK).astype(np.int64)
    return Lots(
        time=time,
        chance=chance,
        is_treated=treated,
        ends=np.where(ends < AT, ends, log.NEVER),
        is_forward=ends < AT,
        cluster=np.arange(n) // 2,
    )


def found(lots: Lots, at: int = AT) -> effect.Estimate:
    """Return the estimate, which must not be a refusal."""
    estimate = effect.estimate(lots, at)
    assert isinstance(estimate, effect.Estimate)
    return estimate


@pytest.mark.parametrize("planted", [1.0, 1.8])
def test_a_planted_effect_is_within_its_interval_as_often_as_stated(planted: float) -> None:
    intervals = [found(past(1000, planted, seed)).interval for seed in range(64)]
    covered = sum(low <= planted <= high for low, high in intervals)
    assert covered >= 58 - 3 * 2.4, "90 % of 64, less three standard errors"


def test_without_the_logged_propensity_the_estimate_is_wrong() -> None:
    """Mutant: all lots are taken to have been those of a fair coin."""
    lots = past(8000, 1.5)
    right, naive = found(lots), found(lots._replace(chance=np.full(8000, 0.5)))
    assert abs(math.log(right.ratio / 1.5)) < 3 * right.log_sd
    assert abs(math.log(naive.ratio / 1.5)) > 3 * naive.log_sd


def test_leads_of_one_account_share_their_fate() -> None:
    """Lots told twice are no more lots: their error is that of one telling."""
    once = past(1000, 1.5)
    alone = once._replace(cluster=np.arange(1000))
    twice = Lots(*(np.append(column, column) for column in alone))
    assert found(twice).log_sd == pytest.approx(found(alone).log_sd)
    mutant = twice._replace(cluster=np.arange(2000))
    assert found(mutant).log_sd == pytest.approx(found(alone).log_sd / math.sqrt(2.0))


def test_what_comes_later_than_a_contact_counts_is_not_its_doing() -> None:
    lots = past(2000, 1.5)
    late = lots._replace(
        ends=np.where(lots.ends - lots.time > effect.CONTACT_DAYS * DAY, log.NEVER, lots.ends)
    )
    assert found(late) == found(lots)


def test_a_lead_that_was_lost_counts_until_then_and_not_as_forward() -> None:
    lots = past(2000, 1.0)
    lost = np.arange(2000) % 3 == 0
    some = found(lots._replace(is_forward=lots.is_forward & ~lost))
    assert sum(some.forward) < sum(found(lots).forward) and some.leads == found(lots).leads
    assert some.ratio == pytest.approx(1.0, abs=3.5 * some.log_sd)


def test_the_estimate_becomes_a_randomised_effect_and_says_its_numbers() -> None:
    estimate = found(past(2000, 1.5))
    weekly, daily = estimate.as_effect(7), estimate.as_effect(1)
    assert weekly.grade is Grade.RANDOMISED and (weekly.ratio, weekly.sd) == (
        estimate.ratio, estimate.log_sd,
    )  # fmt: skip
    assert (weekly.lasts, daily.lasts) == (4, 28)
    assert sum(estimate.leads) == 2000
    assert str(estimate).startswith(f"ratio of rates {estimate.ratio:.2f}, 90 % interval")


def test_too_few_that_went_forward_are_refused() -> None:
    refusal = effect.estimate(past(60, 1.0), AT)
    assert isinstance(refusal, Refusal) and not refusal
    assert "at least 10 leads in each arm that went forward" in str(refusal)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_certain_lots_do_not_count(chance: float) -> None:
    lots = past(2000, 1.5)
    assert isinstance(effect.estimate(lots._replace(chance=np.full(2000, chance)), AT), Refusal)
    certain = Lots(*(column[:300] for column in lots))._replace(chance=np.full(300, chance))
    both = Lots(*(np.append(a, b) for a, b in zip(lots, certain, strict=True)))
    assert found(both) == found(lots)


# from a log


def day(number: float) -> datetime:
    """Return a moment, in days since the first Monday."""
    return MONDAY + timedelta(days=number)


def event(
    what: str, at: float, lead: str, known: float | None = None, **more: Any
) -> dict[str, Any]:
    """Return one event of a lead; without `known` it is known at once."""
    kind, name = what.split(".")
    row = more.pop("row", f"{what} {lead} {at}")
    times = {"event_time": day(at), "known_at": day(at if known is None else known)}
    about = {"row_key": row, "source": "test", "kind": kind, "name": name, "lead": lead}
    return {**about, **times, **more}


def lot(lead: str, at: float, text: str, number: int | None = HALF, **more: Any) -> dict[str, Any]:
    """Return a lot that a lead drew."""
    return event("intervention.outreach", at, lead, text=text, number=number, **more)


def course(events: list[dict[str, Any]], at: float) -> units.Course:
    """Return the courses of the events as known on a day."""
    return units.read(log.identified(pa.Table.from_pylist(events, log.CANDIDATE)), SALES, day(at))


def told(events: list[dict[str, Any]], at: float = 60.0) -> list[tuple[Any, ...]]:
    """Return day, chance, arm, day of the end (None for none), and forward, of every lot."""
    lots = effect.lots(course(events, at))
    start = int(MONDAY.timestamp() * 1e6)
    return [
        (
            (time - start) / DAY,
            chance,
            treated,
            None if ends == log.NEVER else (ends - start) / DAY,
            forward,
        )
        for time, chance, treated, ends, forward, _ in zip(*(c.tolist() for c in lots), strict=True)
    ]


BORN = event("lead.created", 1.0, "x")


def test_the_first_lot_of_a_lead_counts() -> None:
    events = [BORN, lot("x", 9.0, "treated"), lot("x", 5.0, "control", 200_000)]
    assert told(events) == [(5.0, 0.2, False, None, False)]


@pytest.mark.parametrize(
    ("then", "forward"),
    [
        (event("lead.qualified", 12.0, "x", opportunity="a"), True),
        (event("opportunity.created", 12.0, "x", opportunity="a"), True),
        (event("lead.disqualified", 12.0, "x"), False),
    ],
)
def test_a_lot_ends_when_the_lead_leaves_its_stage(then: dict[str, Any], forward: bool) -> None:
    assert told([BORN, lot("x", 5.0, "treated"), then]) == [(5.0, 0.5, True, 12.0, forward)]


def test_what_is_not_known_yet_is_not_counted() -> None:
    events = [
        BORN,
        lot("x", 5.0, "treated"),
        event("lead.qualified", 12.0, "x", known=30.0, opportunity="a"),
        event("lead.created", 2.0, "y"),
        lot("y", 6.0, "control", known=30.0),
    ]
    assert told(events, 29.0) == [(5.0, 0.5, True, None, False)]
    assert told(events, 31.0) == [(5.0, 0.5, True, 12.0, True), (6.0, 0.5, False, None, False)]


def test_a_lot_that_was_corrected_or_names_no_arm_is_none() -> None:
    events = [
        BORN,
        lot("x", 5.0, "treated", row="lot"),
        lot("x", 5.0, "control", row="lot", known=9.0),
        event("lead.created", 2.0, "y"),
        lot("y", 6.0, "postponed"),
        lot("nobody", 6.0, "treated"),
        lot("late", 6.0, "treated"),
        event("lead.created", 7.0, "late"),
    ]
    assert told(events) == [(5.0, 0.5, False, None, False)]


def test_a_lot_without_a_chance_cannot_count() -> None:
    [(_, chance, *_)] = told([BORN, lot("x", 5.0, "treated", None)])
    assert chance == 0.0, "as certain"


def test_leads_of_one_account_are_one_cluster() -> None:
    events = [
        *(event("lead.created", 1.0, lead, account=account)
          for lead, account in (("a", "k"), ("b", "k"), ("c", None), ("d", None), ("e", "m"))),
        *(lot(lead, 5.0, "treated") for lead in "abcde"),
    ]  # fmt: skip
    cluster = effect.lots(course(events, 60.0)).cluster
    assert cluster[0] == cluster[1] and len(set(cluster.tolist())) == 4


def test_the_share_of_steps_under_a_contact_is_what_was_contacted() -> None:
    """Steps end at day 70; x is a lead for nine and a half of them, y for as many."""
    events = [BORN, event("lead.created", 1.0, "y")]
    none = course([*events, lot("x", 14.5, "control")], 70.0)
    assert effect.contacted(none, person.table(none), frozenset({0})) == 0.0
    some = course([*events, lot("x", 14.5, "treated")], 70.0)
    rows = person.table(some)
    assert rows.exposure.sum() == 19.0
    # under way from the step of day 21 on, and for 28 days: the steps of days 21, 28, 35 and 42
    assert effect.contacted(some, rows, frozenset({0})) == pytest.approx(4 / 19)
    assert effect.contacted(some, rows, frozenset({1})) == 0.0


def test_a_contact_counts_in_the_stages_asked_about_alone() -> None:
    events = [BORN, lot("x", 14.5, "treated"), event("lead.qualified", 29.0, "x", opportunity="a")]
    found_ = course(events, 70.0)
    rows = person.table(found_)
    assert effect.contacted(found_, rows, frozenset({0})) == pytest.approx(2 / 4.5)
    assert effect.contacted(found_, rows, frozenset({1})) == pytest.approx(2 / 5)
