"""Laws of the kernel against what is known in closed form: chains, shocks, amounts, queues."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.forecast import laws
from serving.forecast.desks import FIFO, FRESHEST, PRIORITY, Desks
from serving.forecast.kernel import Span
from serving.forecast.laws import Laws, destination
from tests.serving import small_funnels
from tests.serving.small_funnels import BAND_OF, GROUPS, STAGES, STRATA, Case, case, run

if TYPE_CHECKING:
    from serving.forecast.given import Outcome

WON, LOST = STAGES, STAGES + 1


def alone(seed: int, units: int, draws: int, steps: int) -> Case:
    """Return units without arrivals, shocks and levers, all draws by the same chances."""
    asked = case(seed, units=units, draws=draws, steps=steps)
    rows = asked["parameters"]
    asked["parameters"] = rows._replace(
        moves=np.repeat(rows.moves[:1], draws, axis=0),
        rates=np.zeros_like(rows.rates),
        shock_sd=np.zeros(3),
        tilt=np.zeros((steps, STAGES)),
        level=np.zeros((draws, steps)),
    )
    asked["levers"] = small_funnels.no_levers()
    return asked


def occupied(asked: Case, unit: int) -> np.ndarray:
    """Return the chances of a unit to be at each destination after each step: its Markov chain."""
    start, steps = asked["start"], asked["span"].steps
    chances = asked["parameters"].moves[0, start.stratum[unit]]
    last = BAND_OF.size
    mass, ended, told = np.zeros((STAGES, last)), np.zeros(2), []
    mass[start.stage[unit], min(start.stayed[unit], last - 1)] = 1.0
    for _ in range(steps):
        flow = mass[:, :, None] * chances[:, BAND_OF]
        ended = ended + flow[..., WON:].sum(axis=(0, 1))
        stays = np.stack([flow[s, :, s] for s in range(STAGES)])
        mass = np.zeros_like(mass)
        mass[:, 0] = flow[..., :WON].sum(axis=(0, 1)) - stays.sum(axis=1)
        mass[:, 1:] = stays[:, :-1]
        mass[:, -1] += stays[:, -1]
        told.append([*mass.sum(axis=1), *ended])
    return np.array(told)


def test_units_are_where_the_markov_chain_says() -> None:
    draws, units = 4_000, 12
    asked = alone(1, units, draws, 10)
    chances = np.stack([occupied(asked, unit) for unit in range(units)])
    found = run(asked)
    open_mean, won_mean = chances[..., :STAGES].sum(axis=0), chances[..., WON].sum(axis=0)
    error = np.sqrt((chances * (1.0 - chances)).sum(axis=0) / draws)
    assert (np.abs(found.open.sum(axis=2).mean(axis=0) - open_mean) < 4.5 * error[:, :STAGES]).all()
    won = np.cumsum(found.won.sum(axis=(2, 3)), axis=1)
    assert (np.abs(won.mean(axis=0) - won_mean) < 4.5 * error[:, WON]).all()
    variance = (chances[..., WON] * (1.0 - chances[..., WON])).sum(axis=0)
    assert won.var(axis=0)[1:] == pytest.approx(variance[1:], rel=0.15), "units are independent"


def test_each_unit_wins_as_often_as_its_chain_says() -> None:
    draws = 4_000
    asked = alone(2, 12, draws, 10)
    won = np.unpackbits(run(asked).winners, axis=1, bitorder="little")[:, :12].mean(axis=0)
    chances = np.array([occupied(asked, unit)[-1, WON] for unit in range(12)])
    assert (np.abs(won - chances) < 4.5 * np.sqrt(chances * (1.0 - chances) / draws)).all()


@given(
    weights=st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6).filter(lambda x: sum(x) > 0.1),
    stage=st.integers(0, 3),
    shift=st.floats(-2.0, 2.0),
)
def test_a_shift_of_the_log_odds_is_that_of_going_forward(
    weights: list[float], stage: int, shift: float
) -> None:
    """The odds of each destination ahead against each other one are times exp(shift)."""
    chances, phi = np.array(weights) / sum(weights), math.exp(shift)
    n = 4_000
    found = np.bincount([moved(chances, stage, (k + 0.5) / n, phi) for k in range(n)], minlength=6)
    ahead = (np.arange(6) > stage) & (np.arange(6) < LOST)
    expected = np.where(ahead, chances * phi, chances)
    assert found / n == pytest.approx(expected / expected.sum(), abs=2.0 / n)


def moved(chances: np.ndarray, stage: int, u: float, phi: float) -> int:
    """Return where a unit goes at the number u, by the table of limits."""
    table = np.zeros((4, 5))
    everywhere = np.tile(chances, (STAGES, 1, 1))
    laws.limits(everywhere, np.zeros(1, np.int64), table)
    low, high, ahead, _ = table[:, stage]
    x = u * (1.0 + ahead * (phi - 1.0))
    rising = np.zeros((1, 1, laws.WIDTH))
    laws.rise(chances[None, None], rising)
    return stage if low <= x < high else destination(rising[0, 0], STAGES, x, (low, high, phi))


@given(
    word=st.integers(0, 2**32 - 1),
    limits=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0)),
    shift=st.floats(-30.0, 30.0),
)
def test_limits_in_brief_let_nobody_stay_who_moves(
    word: int, limits: tuple[float, float, float], shift: float
) -> None:
    low, high, ahead = limits
    table, brief = np.array(limits)[:, None], np.zeros(1, np.uint64)
    laws.shorten(table, brief)
    factor, u = math.exp(shift) - 1.0, (word + 0.5) / 2**32
    for found in (u, min(1.0, low / (1.0 + ahead * factor)), high / (1.0 + ahead * factor)):
        exact = found * (1.0 + ahead * factor)
        x = found * (1.0 + laws.ahead_of(brief[0]) * factor)
        if laws.low_of(brief[0]) <= x < laws.high_of(brief[0]):
            assert low <= exact < high


@given(
    weights=st.lists(st.floats(0.01, 1.0), min_size=6, max_size=6),
    stage=st.integers(0, 3),
    u=st.floats(1e-9, 1.0 - 1e-9),
    shift=st.floats(0.0, 3.0),
)
def test_a_push_takes_nobody_back(weights: list[float], stage: int, u: float, shift: float) -> None:
    chances = np.array(weights) / sum(weights)
    before, after = (moved(chances, stage, u, phi) for phi in (1.0, math.exp(shift)))
    place = {LOST: -1, **{d: d for d in range(WON + 1)}}
    assert place[after] >= place[before] or before == after


@pytest.mark.parametrize(
    ("known", "table", "value"),
    [
        (1_234, (0.0, 0.0), 1_234),
        (10**15, (0.0, 0.0), 10**15),
        (10_000, (math.log(0.5), 0.0), 5_000),
        (10**15, (9.0, 0.0), 9 * 10**15),
        (0, (1.0, 1.0), 0),
        (-1, (math.log(777.0), 0.0), 777),
    ],
)
def test_amounts_are_whole_cents_within_bounds(
    known: int, table: tuple[float, float], value: int
) -> None:
    empty = [np.zeros(0)] * 3
    row, other = np.array(table), np.array([99.0, 0.0])
    amounts, revised = (other, row) if known >= 0 else (row, other)
    moves, limits, brief = np.zeros((1, 1, 3)), np.zeros((4, 1)), np.zeros(1, np.uint64)
    shapes = (moves, moves, limits, brief, np.zeros((1, 1)), np.zeros((2, 0)))
    counts = np.zeros((1, 1), np.int64)
    of_draw = Laws(1, *shapes, counts, counts, empty[0], amounts, revised, np.zeros(1))
    assert laws.cents(known, 0.5, of_draw) == value


def test_won_value_has_the_mean_that_its_amounts_say() -> None:
    asked = alone(3, 200, 300, 12)
    n = asked["start"].name.size
    asked["start"] = asked["start"]._replace(cents=np.full(n, -1), part=np.zeros(n, np.int64))
    found = run(asked)
    worth = found.cents.sum() / found.won.sum()
    error = worth * math.sqrt(math.expm1(0.8**2) / found.won.sum())
    assert worth == pytest.approx(math.exp(12.0 + 0.8**2 / 2.0), abs=4.0 * error)


def test_arrivals_have_the_mean_and_variance_of_a_gamma_poisson() -> None:
    rates = np.full((4_000, 3, 2), 20.0)
    counts = laws.arriving(rates, np.array([0.25, 0.0]), laws.Chance(1, 0, 0)).reshape(-1, 2)
    assert counts.mean(axis=0) == pytest.approx([20.0, 20.0], rel=0.02)
    assert counts.var(axis=0) == pytest.approx([20.0 + 0.25 * 400.0, 20.0], rel=0.06)


def test_shocks_widen_what_units_share() -> None:
    asked = alone(4, 200, 400, 8)
    spread = []
    for sd in (0.0, 0.6):
        rows = asked["parameters"]._replace(shock_sd=np.array([sd, 0.0, 0.0]))
        spread.append(run({**asked, "parameters": rows}).won.sum(axis=(1, 2, 3)).std())
    assert spread[1] > 1.3 * spread[0]


def waiting_line(discipline: int, capacity: int, draws: int = 30, steps: int = 60) -> Outcome:
    """Return an outcome of units that arrive fresh, cool off, and need a contact soon."""
    moves = np.zeros((draws, 1, 1, 6, 3))
    moves[..., 1] = 0.3 * 0.4 ** np.arange(6)  # won: chances fall with each step waited
    moves[..., 0, 2], moves[..., 1:, 2] = 0.02, 0.05
    moves[..., 0] = 1.0 - moves.sum(axis=-1)
    none = small_funnels.no_levers()
    one = {"rate": 1.0, "log_ratio": 1.5, "log_ratio_sd": 0.0, "contacted": 0.0}
    one |= {"saturation": 0.0, "unsubscribe": 0.0, "worth": 1.0, "tires": 1.0}
    one |= {"lost_log_ratio": 0.0, "lost_log_ratio_sd": 0.0}
    steps_of = {"first": 0, "last": steps, "lasts": 1, "stalled": 0}
    levers = none._replace(
        stages=np.ones((1, 1), bool), strata=np.ones((1, 1), bool), groups=np.ones((1, 1), bool),
        parts=np.ones((1, 3), bool), share=np.ones((1, 1, 1)), at_once=np.zeros(1, bool),
        once=np.zeros(1, bool), **{k: np.array([v]) for k, v in one.items()},
        **{k: np.array([v]) for k, v in steps_of.items()},
    )  # fmt: skip
    base = case(0, units=0, draws=draws, steps=steps)
    nobody, zeros = base["start"], np.zeros(1, np.int64)
    return run({
        "start": nobody,
        "arrivals": base["arrivals"]._replace(stage=zeros, share=np.ones((1, 1, 1)), desk_of=zeros),
        "frame": base["frame"]._replace(stages=1, band_of=np.arange(6), segment_of=zeros),
        "parameters": base["parameters"]._replace(
            moves=moves, rates=np.full((draws, steps, 1), 20.0), spread=np.zeros(1),
            shock_sd=np.zeros(2), tilt=np.zeros((steps, 1)), level=np.zeros((draws, steps)),
        ),
        "levers": levers,
        "desks": Desks(np.full((1, steps), capacity), np.array([discipline]), zeros),
        "span": Span(1, 0, draws, steps),
    })  # fmt: skip


def test_past_capacity_the_freshest_first_wins_more_and_below_it_nothing() -> None:
    """A contact is worth most while a unit is fresh; past capacity, first in first out spends it on
    units that have cooled off.
    """
    won = {
        (discipline, capacity): waiting_line(discipline, capacity).won.sum(axis=(1, 2, 3))
        for discipline in (FIFO, FRESHEST)
        for capacity in (10, 1_000)
    }
    gain = won[FRESHEST, 10] - won[FIFO, 10]
    assert gain.mean() > 5.0 * gain.std() / math.sqrt(gain.size)
    assert np.array_equal(won[FRESHEST, 1_000], won[FIFO, 1_000])


def test_contacts_grow_with_capacity_and_fewer_wait() -> None:
    found = [waiting_line(FIFO, capacity) for capacity in (5, 10, 20, 40)]
    made = [int(each.contacts.sum()) for each in found]
    waits = [int(each.waiting.sum()) for each in found]
    assert made == sorted(set(made))
    assert waits == sorted(set(waits), reverse=True)


@pytest.mark.parametrize(
    ("discipline", "served"), [(FIFO, [0, 1]), (FRESHEST, [5, 4]), (PRIORITY, [1, 3])]
)
def test_a_desk_serves_in_the_order_of_its_discipline(discipline: int, served: list[int]) -> None:
    """Units 0, 2, 4 have rank 0 and 1, 3, 5 rank 1; all are listed in step 0, two are served."""
    asked = case(0, units=6, draws=1, steps=1)
    start = asked["start"]
    n = np.arange(6)
    asked["start"] = start._replace(
        stratum=n % 2, group=np.zeros(6, np.int64), desk=np.zeros(6, np.int64),
        stage=np.zeros(6, np.int64), part=n * 0, tired=np.zeros(6),
    )  # fmt: skip
    stay = np.zeros_like(asked["parameters"].moves)
    stay[..., range(STAGES), :, range(STAGES)] = 1.0
    asked["parameters"] = asked["parameters"]._replace(moves=stay, rates=np.zeros((1, 1, 2)))
    capacity = np.zeros((3, 1), np.int64)
    capacity[0] = 2
    asked["desks"] = Desks(capacity, np.full(3, discipline), np.array([0, 1, 0]))
    asked["levers"] = asked["levers"]._replace(
        rate=np.array([1.0, 0.0]), first=np.zeros(2, np.int64), unsubscribe=np.zeros(2),
        strata=np.ones((2, STRATA), bool), groups=np.ones((2, GROUPS), bool),
    )  # fmt: skip
    state, step_on = small_funnels.stepped(asked)
    step_on(0)
    assert np.flatnonzero(state.units["tired"][:6]).tolist() == sorted(served)
