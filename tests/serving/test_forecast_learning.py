"""Learning: shrinkage, strata, shocks, arrivals and amounts; chunk-free draws; refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.errors import Refusal
from features import log
from features.sources.world import WorldConfig, generate
from serving.forecast import (
    amounts,
    learning,
    moves,
    person,
    rates,
    routing,
    seasons,
    shocks,
    strata,
    telling,
    tilts,
    units,
)
from serving.forecast.funnels import DAY, Input, load_funnel
from serving.forecast.kinds import Routed
from serving.policy import load_policy

SALES = load_funnel("sales")
AT = datetime(2026, 3, 2, tzinfo=UTC)
START = datetime(2025, 1, 6, tzinfo=UTC)
STEPS = 13


def identified(events: list[dict[str, Any]]) -> pa.Table:
    """Return events as rows of the log."""
    return log.identified(pa.Table.from_pylist(events, log.CANDIDATE))


def event(what: str, at: float, **more: Any) -> dict[str, Any]:
    """Return one event, known at once; days since START."""
    kind, name = what.split(".")
    moment = START + timedelta(days=at)
    row = {"row_key": f"{what} {at} {more}", "source": "test", "kind": kind, "name": name}
    return {**row, "event_time": moment, "known_at": moment, **more}


def course(events: list[dict[str, Any]], at: float) -> units.Course:
    """Return the courses of events as known on a day."""
    return units.read(identified(events), SALES, START + timedelta(days=at))


@pytest.fixture(scope="module")
def world() -> units.Course:
    """Return the courses of a small company."""
    made = generate(WorldConfig(scale=0.3, faults=0.0))
    events = log.identified(made.events.select(log.CANDIDATE.names).cast(log.CANDIDATE))
    return units.read(events, SALES, AT)


@pytest.fixture(scope="module")
def learnt(world: units.Course) -> learning.Learnt:
    """Return what is learnt of it."""
    found = learning.fit(world, STEPS)
    assert isinstance(found, learning.Learnt)
    return found


@pytest.mark.parametrize("is_mutant", [False, True])
def test_arrivals_that_grow_are_learnt_as_they_are_now(
    is_mutant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no further: nobody says that they go on growing. Mutant: without growth."""
    if is_mutant:
        monkeypatch.setattr(seasons, "growth", lambda steps: np.zeros((steps, 0)))
    a_week = np.rint(20.0 * np.exp(0.02 * np.arange(60))).astype(int)  # up to 65
    days = [7.0 * week + 7.0 * i / n for week, n in enumerate(a_week) for i in range(n)]
    made = identified([event("lead.created", at, lead=f"L{n}") for n, at in enumerate(days)])
    funnel = SALES.model_copy(update={"amount": (), "inputs": ()})
    found = learning.fit(units.read(made, funnel, START + timedelta(days=420)), STEPS)
    assert isinstance(found, learning.Learnt)
    ahead = rates.mean(found.rates[0]).mean()
    assert (ahead < 58.0) == is_mutant and ahead < 70.0


def leads(rows: pa.Table) -> tuple[strata.Scored, ...]:
    """Return rows as the scores of leads."""
    return (strata.Scored("lead_qualification", "lead", rows.cast(strata.SCORES)),)


def random_scores(world: units.Course, seed: int = 0) -> pa.Table:
    """Return a score of every lead at its beginning that says nothing."""
    leads = world.keys.leads
    rng = np.random.default_rng(seed)
    told = world.events.filter(log.named(world.events, "lead", ("created",)))
    columns = {"entity": told["lead"], "time": told["known_at"]}
    assert len(leads)
    return pa.table({**columns, "score": rng.random(len(told))}).cast(strata.SCORES)


def test_what_is_learnt_fits_what_a_simulation_is_given(
    world: units.Course, learnt: learning.Learnt
) -> None:
    given, start = learning.sample(learnt, 1, 0, 5), learning.start(world, learnt)
    arrivals, frame = learning.arrivals(learnt), learning.frame(learnt)
    stages, groups = frame.stages, len(learnt.groups.names)
    assert given.moves.shape == (5, 1, stages, frame.band_of.max() + 1, stages + 2)
    assert given.rates.shape == (5, STEPS, len(arrivals.stage))
    assert given.spread.shape == arrivals.stage.shape
    assert given.shock_sd.shape == (1 + frame.segment_of.max() + 1,) or len(given.shock_sd) > 1
    assert np.allclose(given.moves.sum(axis=-1), 1.0) and (given.moves >= 0.0).all()
    assert arrivals.share.shape == (2, 1, groups) and np.allclose(arrivals.share.sum((1, 2)), 1.0)
    assert frame.segment_of.shape == arrivals.desk_of.shape == (groups,)
    assert len({len(column) for column in start}) == 1 and len(start.name) > 100
    assert len(np.unique(start.name)) == len(start.name) and (start.name < 2**63).all()
    assert ((start.part == 1) == (start.stage < frame.deals_from)).all()
    assert (start.cents[start.part == 1] == -1).all() and (start.cents[start.part == 0] > 0).all()
    assert start.group.min() >= 0 and start.group.max() < groups
    assert start.tired.max() > 0.0


def test_what_is_given_has_no_gaps(world: units.Course, learnt: learning.Learnt) -> None:
    """The kernel is compiled anew for arrays of another layout, which takes half a minute."""
    parts = (learning.start(world, learnt), learning.arrivals(learnt), learning.frame(learnt))
    arrays = [field for part in parts for field in part if isinstance(field, np.ndarray)]
    assert len(arrays) == 14 and all(field.flags.c_contiguous for field in arrays)


def test_units_open_at_the_moment_are_those_that_the_table_ends_with(
    world: units.Course, learnt: learning.Learnt
) -> None:
    found = person.table(world)
    last = found.step == len(found.bounds) - 2
    is_open = found.then[last] < SALES.won_state
    start = learning.start(world, learnt)
    assert np.bincount(found.then[last][is_open]).tolist() == np.bincount(start.stage).tolist()


def test_samples_do_not_depend_on_how_draws_are_cut(learnt: learning.Learnt) -> None:
    whole, tail = learning.sample(learnt, 7, 0, 10), learning.sample(learnt, 7, 6, 4)
    for name in ("moves", "rates", "amounts", "revised"):
        assert np.array_equal(getattr(whole, name)[6:], getattr(tail, name)), name


def test_draws_of_another_seed_or_number_are_others(learnt: learning.Learnt) -> None:
    drawn, other = learning.sample(learnt, 7, 0, 2), learning.sample(learnt, 8, 0, 2)
    assert not np.array_equal(drawn.moves[0], drawn.moves[1])
    assert not np.array_equal(drawn.moves[0], other.moves[0])


def test_samples_spread_around_the_centre(learnt: learning.Learnt) -> None:
    drawn, centre = learning.sample(learnt, 3, 0, 2000), learning.mean(learnt)
    assert drawn.moves.mean(axis=0) == pytest.approx(centre.moves[0], abs=0.02)
    # log-normal: their mean lies above the centre
    assert np.median(drawn.rates, axis=0) == pytest.approx(centre.rates[0], rel=0.05, abs=0.01)
    assert drawn.amounts.mean(axis=0) == pytest.approx(centre.amounts[0], rel=0.02)
    assert drawn.rates[:, 0, 0].std() > 0.0


def test_deals_are_won_below_their_amount(world: units.Course, learnt: learning.Learnt) -> None:
    """The company gives discounts: they are in the ratio of what was won to what was known."""
    assert -0.12 < learnt.revised.mean < -0.02
    worth = amounts.deals(world)
    won = worth.is_won & (worth.won > 0)
    assert learnt.amounts.mean == pytest.approx(np.log(worth.won[won]).mean())


def test_leads_arrive_at_about_the_rate_of_late(
    world: units.Course, learnt: learning.Learnt
) -> None:
    found = person.table(world)
    new = found.is_first & (found.stage == 0) & (found.step >= len(found.bounds) - 1 - STEPS)
    expected = learning.mean(learnt).rates[0, :, 0].sum()
    assert expected == pytest.approx(new.sum(), rel=0.2)
    assert (learning.mean(learnt).rates[0, :, 1] == 0.0).all(), "every deal came with a lead"


# moves


def cell(stage: int = 0, rows: int = 1, to: int = 1, moved: int = 0) -> np.ndarray:
    """Return counts of two stages and two bands, of which one cell was seen."""
    found = np.zeros((1, 2, 2, 4))
    found[0, stage, 0, to], found[0, stage, 0, stage] = moved, rows - moved
    return found


def test_a_band_without_steps_takes_the_chances_of_its_stage() -> None:
    shares = moves.shares(moves.posterior(cell(rows=2000, moved=400)))[0]
    assert shares[0, 1, 1] == pytest.approx(0.2, abs=1e-3)
    assert shares[0, 0, 1] == pytest.approx(0.2, abs=1e-3)


def test_a_stage_without_history_stays_proper() -> None:
    shares = moves.shares(moves.posterior(cell(rows=2000, moved=400)))[0]
    assert shares[1, 0].tolist() == pytest.approx([1 / 6, 0.5, 1 / 6, 1 / 6])


def test_a_stratum_with_few_steps_is_like_all_and_one_with_many_is_itself() -> None:
    many, few, other = cell(rows=4000, moved=1600), cell(rows=4, moved=0), cell(rows=4000)
    other[0, 0, 0] = [3600, 400, 0, 0]
    shares = moves.shares(moves.posterior(np.concatenate([many, few, other])))
    every = 2000 / 8004
    assert shares[0, 0, 0, 1] == pytest.approx(0.4, abs=0.01)
    assert shares[2, 0, 0, 1] == pytest.approx(0.1, abs=0.01)
    assert shares[1, 0, 0, 1] == pytest.approx(every, abs=0.1)
    # a band that the stratum was never seen in: the band of all, as much more as the stratum is
    assert shares[0, 0, 1, 1] > 1.4 * every > 2.0 * shares[2, 0, 1, 1]


def test_chances_without_shocks_are_the_given_ones_on_average() -> None:
    chances = moves.shares(np.array([[[0.7, 0.2, 0.04, 0.06]], [[0.1, 0.5, 0.3, 0.1]]]))
    base = moves.without_shocks(chances, 0.5**2)
    assert (moves.forward(base) < moves.forward(chances)).all(), "shocks raise small chances"
    factor = np.exp(0.5 * np.random.default_rng(0).standard_normal(200_000))[:, None, None]
    ahead = moves.forward(base)
    shocked = factor * ahead / (1.0 + ahead * (factor - 1.0))
    assert shocked.mean(axis=0) == pytest.approx(moves.forward(chances), abs=1e-3)
    raw = moves.forward(chances)
    naive = (factor * raw / (1.0 + raw * (factor - 1.0))).mean(axis=0)
    assert naive[0, 0] > raw[0, 0] + 5e-3, "mutant: chances taken as they are"


# strata


def test_scores_that_say_nothing_do_no_harm(world: units.Course, learnt: learning.Learnt) -> None:
    scored = learning.fit(world, STEPS, scores=leads(random_scores(world)))
    assert isinstance(scored, learning.Learnt) and scored.moves.shape[0] == 6
    one, several = (moves.shares(each.moves) for each in (learnt, scored))
    # leads of every band qualify about as all do
    assert several[1:, 0, :4, 1] == pytest.approx(np.tile(one[0, 0, :4, 1], (5, 1)), abs=0.03)
    assert several[1:, 0, :4, 1].mean() == pytest.approx(one[0, 0, :4, 1].mean(), abs=0.004)


def test_scores_that_tell_are_used_whatever_their_scale(world: units.Course) -> None:
    """Who will qualify is told by a score that is far from a probability."""
    scores = random_scores(world).to_pandas()
    became = {name for name, deal in zip(world.names, world.members.opportunity, strict=True)
              if deal >= 0}  # fmt: skip
    scores["score"] = scores["score"] * 10.0 + 10.0 * scores["entity"].isin(became)
    found = learning.fit(world, STEPS, scores=leads(pa.Table.from_pandas(scores)))
    assert isinstance(found, learning.Learnt)
    qualify = moves.shares(found.moves)[1:, 0, 2, 1]
    assert qualify[-1] > 5.0 * qualify[:3].mean()


def test_only_scores_of_before_the_step_count(world: units.Course) -> None:
    scores = random_scores(world)
    found = strata.strata(world, leads(scores), (np.arange(10), np.full(10, world.at)))
    first = np.full(len(world.names), log.NEVER)
    unit = np.searchsorted(world.keys.leads.to_numpy(zero_copy_only=False), scores["entity"])
    np.minimum.at(first, unit, log.microseconds(scores["time"]))
    there = np.flatnonzero(first < log.NEVER)
    assert (found.at(there, first[there] - 1) == strata.NO_SCORE).all()
    assert (found.at(there, first[there]) != strata.NO_SCORE).all()


def test_scores_of_later_or_of_nobody_route_nobody(world: units.Course) -> None:
    """What a policy makes of a band is told by the scores that were known, of units that are."""
    scores, policy = random_scores(world), load_policy("lead_routing")
    ones = np.ones(len(scores))
    after = pa.array(np.full(len(scores), world.at + 1), log.MICROSECONDS)
    unknown = pa.array([f"nobody {n}" for n in range(len(scores))])
    later = pa.table({"entity": scores["entity"], "time": after, "score": ones})
    nobody = pa.table({"entity": unknown, "time": scores["time"], "score": ones})
    at = np.arange(len(world.names)), np.full(len(world.names), world.at)
    asked = Routed(policy="lead_routing", routes=("account_executive",))

    def sent(rows: pa.Table) -> np.ndarray:
        given = leads(rows)
        sent = routing.Sent(policy, asked.routes, "lead_qualification")
        found = routing.shares(strata.strata(world, given, at), given, sent)
        assert isinstance(found, np.ndarray)
        return found

    others = [each.cast(strata.SCORES) for each in (later, nobody)]
    before = sent(scores)
    assert before[1] == 0.0 and before[5] > 0.5, "the lowest band is sent nowhere, the highest is"
    assert sent(pa.concat_tables([scores, *others])).tolist() == before.tolist()


def test_the_scores_of_deals_stand_beside_those_of_leads(world: units.Course) -> None:
    """Each model has bands of its own, and the latest score of a unit counts."""
    (of_leads,) = leads(random_scores(world))
    told = world.events.filter(log.named(world.events, "opportunity", ("created",)))
    made = {"entity": told["opportunity"], "time": told["known_at"]}
    rng = np.random.default_rng(3)
    scored = pa.table({**made, "score": rng.random(len(told))}).cast(strata.SCORES)
    of_deals = strata.Scored("opportunity_win", "opportunity", scored, 3)
    every = np.arange(len(world.names))
    now = np.full(len(every), world.at)
    found = strata.strata(world, (of_leads, of_deals), (every, now))
    assert found.count == 9 and found.names == (
        "",
        *["lead_qualification"] * 5,
        *["opportunity_win"] * 3,
    )
    deal = world.members.opportunity >= 0
    stratum = found.at(every, now)
    scored_deals = pc.is_in(
        world.keys.opportunities.take(pa.array(world.members.opportunity[deal])),
        value_set=scored["entity"].combine_chunks(),
    ).to_numpy(zero_copy_only=False)
    assert (stratum[deal][scored_deals] > 5).mean() > 0.99
    assert (stratum[~deal] <= 5).all() and np.unique(stratum[~deal]).size > 4
    shares = np.bincount(stratum[deal], minlength=9)[6:] / (stratum[deal] > 5).sum()
    assert shares == pytest.approx(np.full(3, 1 / 3), abs=0.03)


def test_a_landmark_lies_within_the_horizon_and_the_life_of_the_unit(world: units.Course) -> None:
    rows = person.table(world)
    landmark = strata.landmarks(rows, 4)
    first = rows.begins[rows.is_first][np.argsort(rows.unit[rows.is_first])]
    assert (landmark >= first[rows.unit]).all(), "nobody had a score before they were known"
    age = (rows.begins - landmark) // rows.funnel.step
    assert age.max() == 3 and (landmark <= rows.begins).all()
    old = (rows.begins - first[rows.unit]) // rows.funnel.step > 8
    assert np.bincount(age[old]) / old.sum() == pytest.approx(np.full(4, 0.25), abs=0.01)
    assert (strata.landmarks(rows, 1) == rows.begins).all()


def test_what_is_learnt_of_a_band_is_as_old_as_what_is_simulated(world: units.Course) -> None:
    """A score that jumps in the week before a lead qualifies says little of later weeks: with the
    bands of the day, all steps ahead would have the chances of the first.
    """
    rows = person.table(world)
    jumps = (rows.stage == 0) & (rows.then == 1) & ~rows.is_first
    near = (rows.stage == 0) & ~rows.is_first
    scores = pa.table(
        {
            "entity": pa.array(world.names[rows.unit[near]], pa.string()),
            "time": pa.array(rows.begins[near], log.MICROSECONDS),
            "score": jumps[near] + 0.5 * np.random.default_rng(4).random(near.sum()),
        }
    )
    (ahead, day) = (learning.fit(world, steps, scores=leads(scores)) for steps in (8, 1))
    assert isinstance(ahead, learning.Learnt) and isinstance(day, learning.Learnt)
    of_top = [moves.shares(each.moves)[5, 0, 1, 1] for each in (ahead, day)]
    assert of_top[0] < 0.6 * of_top[1], "mutant: the bands of the day"


def test_scores_that_say_nothing_have_next_to_no_weight(world: units.Course) -> None:
    rows = person.table(world)
    told, off = [], []
    for seed in range(6):
        stratum = np.random.default_rng(seed).integers(1, 6, len(world.names))[rows.unit]
        told.append(telling.weights(rows, stratum, 6))
        counts = moves.counts(rows, stratum, 6)
        found = moves.shares(telling.posterior(counts, told[-1]))[1:]
        mutant = moves.shares(moves.posterior(counts))[1:]  # every stage is told apart
        off.append([np.abs(each - each.mean(axis=0)).mean() for each in (found, mutant)])
    assert np.mean(told) < 0.25
    ours, theirs = np.mean(off, axis=0)
    assert ours < 0.4 * theirs


def test_scores_that_tell_have_weight_where_they_do(world: units.Course) -> None:
    """Who will be a deal is told in the stage of leads; where nobody has a score nothing is."""
    rows = person.table(world)
    became = (world.members.opportunity >= 0)[rows.unit].astype(np.int64)
    assert telling.weights(rows, 1 + became, 3)[0] > 0.8
    assert not telling.weights(rows, np.zeros(len(rows), np.int64), 3).any()


def test_weights_lead_from_the_chances_of_all_to_those_of_the_stratum(world: units.Course) -> None:
    rows = person.table(world)
    counts = moves.counts(rows, rows.unit % 3, 3)
    apart, alike = moves.posterior(counts), moves.posterior(counts.sum(axis=0, keepdims=True))
    ends = np.array([0.0, 1.0, 0.5, 0.0, 1.0])
    found = telling.posterior(counts, ends)
    assert found[:, 1] == pytest.approx(apart[:, 1])
    assert found[2, 0] == pytest.approx(alike[0, 0])
    middle = (moves.shares(apart[:, 2]) + moves.shares(alike[:, 2])) / 2
    assert moves.shares(found[:, 2]) == pytest.approx(middle)


# shocks


def shocked(common: float, own: float, seed: int) -> np.ndarray:
    """Return the sds found in 100 steps of three segments, 120 units each."""
    rng = np.random.default_rng(seed)
    step, segment = np.repeat(np.arange(100), 360), np.tile(np.repeat(np.arange(3), 120), 100)
    shift = common * rng.standard_normal(100)[:, None] + own * rng.standard_normal((100, 3))
    chance = 1.0 / (1.0 + np.exp(1.4 - shift[step, segment]))
    is_forward = rng.random(len(step)) < chance
    expected = np.full(len(step), is_forward.mean())
    return shocks.shock_sd(expected, is_forward, step, segment, 3)


@pytest.mark.parametrize(("common", "own"), [(0.3, 0.0), (0.5, 0.0), (0.3, 0.3), (0.3, 0.5)])
def test_planted_shocks_are_found(common: float, own: float) -> None:
    found = np.mean([shocked(common, own, seed) for seed in range(10)], axis=0)
    # an sd is known from 100 steps to 1 / sqrt(200), and from ten times to a third of that
    assert found[0] == pytest.approx(common, abs=max(0.12 * common, 0.15 * own))
    assert found[1:] == pytest.approx(np.full(3, own), abs=max(0.15 * own, 0.1))


def test_independent_units_show_next_to_no_shock() -> None:
    assert (np.mean([shocked(0.0, 0.0, seed) for seed in range(5)], axis=0) < 0.08).all()


def test_one_segment_has_one_shock() -> None:
    rng = np.random.default_rng(1)
    step = np.repeat(np.arange(200), 200)
    chance = 1.0 / (1.0 + np.exp(1.4 - 0.5 * rng.standard_normal(200)[step]))
    is_forward = rng.random(len(step)) < chance
    expected = np.full(len(step), is_forward.mean())
    found = shocks.shock_sd(expected, is_forward, step, np.zeros(len(step), np.int64), 1)
    assert found.tolist() == [pytest.approx(0.5, abs=0.06), 0.0]


# tilts


def tilted_rows(shift: np.ndarray, chance: float = 0.2, rows: int = 20_000) -> tilts.Rows:
    """Return rows of all days, whose log odds are shifted by day."""
    rng = np.random.default_rng(5)
    day = rng.integers(0, 7, rows)
    odds = np.log(chance / (1.0 - chance)) + shift[day]
    is_forward = rng.random(rows) < 1.0 / (1.0 + np.exp(-odds))
    return tilts.Rows(np.full(rows, is_forward.mean()), np.ones(rows), is_forward, day)


def test_a_quiet_day_is_found_and_explained() -> None:
    shift = np.array([0.3, 0.2, 0.0, 0.0, 0.0, -1.0, -3.0])
    rows = tilted_rows(shift)
    found = tilts.fit(rows)
    assert found - found[3] == pytest.approx(shift, abs=0.3)
    told = tilts.tilted(rows.chance, np.tile(found, (len(rows.day), 1)), rows.day)
    seen = [rows.is_forward[rows.day == day].mean() for day in range(7)]
    assert [told[rows.day == day][0] for day in range(7)] == pytest.approx(seen, abs=0.01)


def test_a_day_without_any_move_is_quiet_and_not_impossible() -> None:
    found = tilts.fit(tilted_rows(np.array([0.0] * 6 + [-50.0])))
    assert -12.0 < found[6] - found[0] < -4.0


def test_quiet_days_are_no_shock() -> None:
    """Mutant: a funnel that does not know of Sundays takes them for shocks."""
    rows = tilted_rows(np.array([0.3, 0.3, 0.3, 0.3, 0.3, -2.0, -4.0]), rows=40_000)
    week = np.random.default_rng(0).integers(0, 60, len(rows.day))
    step, one = 7 * week + rows.day, rows.day * 0
    found = tilts.fit(rows)
    told = tilts.tilted(rows.chance, np.tile(found, (len(rows.day), 1)), rows.day)
    assert shocks.shock_sd(told, rows.is_forward, step, one, 1)[0] < 0.1
    assert shocks.shock_sd(rows.chance, rows.is_forward, step, one, 1)[0] > 0.5


def test_chances_without_tilts_are_the_given_ones_on_average() -> None:
    chances = moves.shares(np.array([[[0.7, 0.2, 0.04, 0.06]], [[0.1, 0.5, 0.3, 0.1]]]))
    shift = np.array([[0.5, 0.5, 0.5, 0.5, 0.5, -1.0, -3.0], [0.0] * 7])
    base = moves.forward(moves.without_shocks(chances, 0.0, shift))
    each = np.exp(shift) * base / (1.0 + base * np.expm1(shift))
    assert each.mean(axis=1) == pytest.approx(moves.forward(chances)[:, 0], abs=1e-6)


# arrivals


def counted(level: np.ndarray, spread: float, seed: int = 3) -> np.ndarray:
    """Return counts around a level that vary more than Poisson."""
    rng = np.random.default_rng(seed)
    factor = rng.standard_gamma(1.0 / spread, len(level)) * spread if spread else 1.0
    return rng.poisson(level * factor)


def test_an_input_and_the_spread_are_found() -> None:
    """The slope of a planted input within three errors, and the variance of the factor."""
    rng = np.random.default_rng(4)
    told = rng.standard_normal((330, 1))
    told[300:] = 0.0
    counts = counted(40.0 * np.exp(0.3 * told[:300, 0]), 0.05)
    found = rates.fit(counts, told, 1e9)
    error = np.sqrt((found.root @ found.root.T)[1, 1])
    slope = found.centre[1] / told[:300].std()
    assert abs(slope - 0.3) < 3.0 * error
    assert found.spread == pytest.approx(0.05, abs=0.02)
    assert rates.mean(found) == pytest.approx(40.0, rel=0.1)


def test_plain_poisson_counts_show_next_to_no_spread() -> None:
    found = rates.fit(counted(np.full(200, 30.0), 0.0), np.zeros((210, 0)), 1e9)
    assert found.spread < 0.01
    assert rates.mean(found) == pytest.approx(30.0, rel=0.05)


def test_draws_are_as_wide_as_the_rate_is_uncertain() -> None:
    counts = counted(np.full(50, 10.0), 0.0)
    found = rates.fit(counts, np.zeros((51, 0)), 1e9)
    rng = np.random.default_rng(0)
    drawn = np.array([rates.sample(found, rng)[0] for _ in range(4000)])
    assert drawn.std() == pytest.approx(np.sqrt(counts.mean() / 50), rel=0.15)


def test_older_steps_count_less() -> None:
    level = np.repeat([10.0, 30.0], 60)
    recent = rates.fit(counted(level, 0.0), np.zeros((121, 0)), 10.0)
    always = rates.fit(counted(level, 0.0), np.zeros((121, 0)), 1e9)
    assert rates.mean(recent)[0] == pytest.approx(30.0, rel=0.1)
    assert rates.mean(always)[0] == pytest.approx(20.0, rel=0.1)


def test_an_input_beyond_all_that_was_seen_does_not_run_away() -> None:
    told = np.append(np.random.default_rng(0).random(100), 1e6)[:, None]
    found = rates.fit(counted(np.full(100, 20.0), 0.0), told, 1e9)
    assert rates.mean(found)[0] < 60.0


def test_few_arrivals_are_one_number() -> None:
    found = rates.fit(np.array([0, 1, 0, 2] * 2), np.random.default_rng(0).random((10, 3)), 1e9)
    assert rates.mean(found) == pytest.approx([0.75, 0.75])
    nothing = rates.fit(np.zeros(20, int), np.zeros((22, 1)), 1e9)
    assert rates.sample(nothing, np.random.default_rng(0)).tolist() == [0.0, 0.0]


def days(first: datetime, count: int, step_days: int) -> np.ndarray:
    """Return the middles of steps, in microseconds."""
    return int(first.timestamp() * 1e6) + (np.arange(count) * step_days + step_days // 2) * DAY


def test_a_season_of_the_year_needs_a_year_and_a_half() -> None:
    middles = days(START, 20, 7)
    assert seasons.calendar(middles, 7, 400).shape == (20, 3)
    assert seasons.calendar(middles, 7, 600).shape == (20, 7)


def test_days_know_their_name_and_weeks_the_end_of_the_quarter() -> None:
    week = seasons.calendar(days(START, 7, 1), 1, 100)
    assert week.argmax(axis=1).tolist() == list(range(7)), "the first is a Monday"
    last = seasons.calendar(days(START, 13, 7), 7, 100)[:, 2]
    assert last.tolist() == [0.0] * 10 + [1.0, 1.0] + [0.0], "25 December begins no January"


def test_a_season_that_is_there_is_learnt() -> None:
    middles = days(START, 170, 7)
    level = 30.0 * np.exp(0.5 * np.sin(2.0 * np.pi * middles / (365.25 * DAY)))
    columns = seasons.calendar(middles, 7, 1000)
    found = rates.fit(counted(level[:150], 0.0), columns, 1e9)
    assert rates.mean(found) == pytest.approx(level[150:], rel=0.2)


def test_an_input_counts_as_it_was_known_when_it_could_be_used() -> None:
    """A report that came after the step began that may use it was not there for it."""
    told = [event("campaign.member_added", day + 0.5, campaign="k", lead="x") for day in range(28)]
    late = {**event("campaign.member_added", 3.0, campaign="late"), "known_at": AT}
    made = course([event("lead.created", 0.0, lead="x"), *told, late], 28.0)
    bounds = person.table(made).bounds
    what = Input.model_validate({"name": "n", "events": {"kind": "campaign"}})
    assert seasons.measured(made, what, bounds)[-4:].tolist() == [7.0] * 4


def test_the_future_of_an_input_is_given_or_as_of_late() -> None:
    past = np.array([1.0, 3.0, 5.0])
    assert np.expm1(seasons._lagged(past, 1, 3, None))[1:].tolist() == pytest.approx(
        [1.0, 3.0, 5.0, 3.0, 3.0]
    )
    given = seasons._lagged(past, 1, 3, np.array([9.0, 9.0, 9.0]))
    assert np.expm1(given)[3:].tolist() == pytest.approx([5.0, 9.0, 9.0])


# amounts and days


def test_deals_that_slip_are_told_with_those_still_open() -> None:
    """Four deals expected on day 10: closed on days 10, 20 and 30; one is still open on day 80."""
    epoch_day = int(START.timestamp() // 86_400)
    events = []
    for name, closed in {"a": 10.5, "b": 20.5, "c": 30.5, "d": None}.items():
        events.append(event("opportunity.created", 0.5, opportunity=name, number=1))
        events.append(
            event("opportunity.close_date_changed", 1.0, opportunity=name, number=epoch_day + 10)
        )
        events += [event("outcome.won", closed, opportunity=name)] if closed else []
    events.append(
        event("opportunity.close_date_changed", 15.0, opportunity="c", number=epoch_day + 30)
    )
    found = amounts.slippage(course(events, 80.0))
    assert found is not None
    first, last = found.set_index("expected").loc[["first", "last"]].to_dict("records")
    assert (first["deals"], first["ended"], first["q50"]) == (4, 0.75, pytest.approx(10.5))
    assert np.isnan(first["q95"]), "one of four has not ended"
    assert last["q50"] == pytest.approx(0.5)


def test_a_source_without_expected_days_tells_no_slippage(world: units.Course) -> None:
    assert amounts.slippage(world) is None


def test_who_is_in_the_control_arm_is_not_tired() -> None:
    events = [event("lead.created", 1.0, lead=lead) for lead in ("x", "y")]
    events.append(event("intervention.outreach", 14.0, lead="x", text="treated", number=500_000))
    events.append(event("intervention.outreach", 14.0, lead="y", text="control", number=500_000))
    assert amounts.contacts_felt(course(events, 28.0)).tolist() == [0.5, 0.0]


# refusals


def few(leads: int, deals: int) -> units.Course:
    """Return ten weeks of some open leads and deals."""
    events = [event("lead.created", 1.0 + n / 10, lead=f"l{n}") for n in range(leads)]
    for n in range(deals):
        events.append(event("opportunity.created", 1.0, opportunity=f"d{n}", number=100 + n))
    return course(events, 70.0)


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (few(1, 0), "a forecast needs at least 30 steps of units, got 10: ingest a longer history"),
        (few(9, 1), "a forecast needs at least 2 deals with an amount, got 1: ingest a longer"),
        (course([event("lead.created", n / 100, lead=f"{n}") for n in range(40)], 14.0),
         "a forecast needs at least 4 steps of history, got"),
    ],
)  # fmt: skip
def test_too_little_history_is_refused_in_words(past: units.Course, words: str) -> None:
    found = learning.fit(past, 4)
    assert isinstance(found, Refusal)
    assert str(found).startswith(words)


def test_a_funnel_that_tells_no_amounts_is_worth_nothing() -> None:
    olist = load_funnel("olist")
    told = [event("lead.created", n, lead=f"{n}") for n in range(40)]
    past = units.read(identified(told), olist, START + timedelta(days=70))
    found = learning.fit(past, 4)
    assert isinstance(found, learning.Learnt)
    assert np.exp(learning.sample(found, 1, 0, 3).amounts[:, 0]).max() < 1e-9
