"""The kernel against a plain telling of the same, and what must hold of any outcome."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.forecast import kernel, philox
from serving.forecast.desks import FIFO, FRESHEST, PRIORITY
from serving.forecast.given import Outcome
from serving.forecast.levers import WAITING
from serving.forecast.luck import Chance, fill
from serving.forecast.state import CLOSED, FREE, GONE, NUMBERS, PLACES, State
from tests.serving import plain_kernel, small_funnels
from tests.serving.small_funnels import STAGES, Case, case, run, same


@pytest.mark.parametrize("seed", range(6))
def test_the_kernel_tells_what_the_plain_one_tells(seed: int) -> None:
    asked = case(seed)
    found = run(asked)
    assert found.contacts.sum() > 0 < found.lost_to.sum()
    assert found.won.sum() > 0 < found.waiting.sum()
    assert same(found, plain_kernel.Plain(asked).simulate())


@given(
    seed=st.integers(0, 2**20),
    units=st.integers(0, 40),
    steps=st.integers(1, 11),
    discipline=st.lists(st.sampled_from([FIFO, FRESHEST, PRIORITY]), min_size=3, max_size=3),
    decay=st.sampled_from([0.0, 0.5, 1.0]),
    capacity=st.integers(0, 30),
)
def test_they_agree_in_any_funnel(
    seed: int, units: int, steps: int, discipline: list[int], decay: float, capacity: int
) -> None:
    asked = case(seed, units=units, draws=1, steps=steps)
    everywhere = np.full_like(asked["desks"].capacity, capacity)
    asked["desks"] = asked["desks"]._replace(capacity=everywhere, discipline=np.array(discipline))
    asked["levers"] = asked["levers"]._replace(decay=decay)
    assert same(run(asked), plain_kernel.Plain(asked).simulate())


def test_words_of_four_steps_are_those_of_one_block() -> None:
    names = np.array([0, 5, 2**33 + 1, 2**63 + 2**48 + 3], np.uint64)
    words = np.zeros((4, names.size), np.uint32)
    fill(words, names, 1, Chance(2**40 + 3, 7, 9), 128)
    assert not words[:, 0].any(), "places before the first are left alone"
    for place, name in enumerate(names[1:].tolist(), start=1):
        for step in range(8, 12):
            expected = plain_kernel.word(2**40 + 3, 7, name, step, 128)
            assert (int(words[step % 4, place]) + 0.5) / 2**32 == expected
    block = philox.block(
        tuple(np.uint64(c) for c in (7, 5, 0, 2 * 65536 + 128)),
        tuple(np.uint64(k) for k in (3, 256)),
    )
    assert words[:, 1].tolist() == [int(x) for x in block]


def test_words_fill_the_interval_evenly() -> None:
    words = np.zeros((4, 25_000), np.uint32)
    fill(words, np.arange(25_000, dtype=np.uint64) << np.uint64(11), 0, Chance(1, 0, 0), 128)
    cells = np.bincount((words.ravel() >> 25).astype(np.int64), minlength=128)
    expected = words.size / 128
    assert ((cells - expected) ** 2 / expected).sum() < 127 + 4 * np.sqrt(2 * 127)
    assert np.abs(np.corrcoef(words.astype(float))[np.triu_indices(4, 1)]).max() < 0.03


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_the_outcome_does_not_depend_on_chunks(chunk: int) -> None:
    asked = case(3, draws=7)
    assert same(run(asked), joined([run(part) for part in cut(asked, chunk)]))


def test_a_draw_that_took_the_number_of_its_row_would_be_seen() -> None:
    asked = case(3, draws=7)
    parts = [{**part, "span": part["span"]._replace(first_draw=11)} for part in cut(asked, 2)]
    assert not same(run(asked), joined([run(part) for part in parts]))


def cut(asked: Case, chunk: int) -> list[Case]:
    """Cut the draws of a case."""
    span, rows = asked["span"], asked["parameters"]
    by_draw = ("moves", "rates", "amounts", "revised", "level")
    parts = []
    for first in range(0, span.draws, chunk):
        own = {name: getattr(rows, name)[first : first + chunk] for name in by_draw}
        part = span._replace(first_draw=span.first_draw + first, draws=own["moves"].shape[0])
        parts.append({**asked, "parameters": rows._replace(**own), "span": part})
    return parts


def joined(parts: list[Outcome]) -> Outcome:
    """Put the draws together again."""
    return Outcome(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def test_an_outcome_does_not_depend_on_the_order_of_the_start() -> None:
    """Where nobody waits, the order of units is that of nothing."""
    asked = case(5)
    asked["desks"] = asked["desks"]._replace(capacity=np.full((3, 14), 10**6))
    order = np.random.default_rng(0).permutation(60)
    mixed = {**asked, "start": type(asked["start"])(*(x[order] for x in asked["start"]))}
    one, other = run(asked), run(mixed)
    n = asked["start"].name.size
    first, second = (
        np.unpackbits(o.winners, axis=1, bitorder="little")[:, :n] for o in (one, other)
    )
    assert first.any()
    assert np.array_equal(first[:, order], second)
    assert np.array_equal(one.won_at[:, order], other.won_at)
    assert same(one._replace(winners=other.winners, won_at=other.won_at), other)


def test_an_effect_of_nothing_changes_not_a_bit() -> None:
    asked = case(4)
    still = {"log_ratio": np.zeros(2), "log_ratio_sd": np.zeros(2)}
    pulled = run({**asked, "levers": asked["levers"]._replace(**still)})
    usual = run({**asked, "levers": small_funnels.no_levers()})
    assert pulled.contacts.sum() > 0
    assert np.array_equal(pulled.won, usual.won)
    assert np.array_equal(pulled.cents, usual.cents)
    assert np.array_equal(pulled.open, usual.open)


def on_one_segment(asked: Case, pulls: bool) -> Case:
    """Return a case with levers on segment 0 alone, or with none."""
    mask = np.tile(small_funnels.SEGMENT_OF == 0, (2, 1))
    levers = asked["levers"]._replace(groups=mask)
    return {**asked, "levers": levers if pulls else small_funnels.no_levers()}


def test_a_lever_on_one_segment_changes_no_draw_of_any_other() -> None:
    asked = case(2, units=200)
    pulled, usual = run(on_one_segment(asked, True)), run(on_one_segment(asked, False))
    others = small_funnels.SEGMENT_OF != 0
    assert not np.array_equal(pulled.open, usual.open)
    for field in ("won", "cents", "open"):
        found, expected = (getattr(o, field)[:, :, others] for o in (pulled, usual))
        assert np.array_equal(found, expected), field


def test_numbers_from_a_running_stream_would_be_seen() -> None:
    class Running(plain_kernel.Plain):
        """The mutant: the next number of a stream, whoever asks."""

        def __init__(self, given: Case) -> None:
            super().__init__(given)
            self.rng = np.random.default_rng(0)

        def word(self, unit: int, step: int, purpose: int) -> float:
            return float(self.rng.random())

    asked = case(2, units=200, draws=1)
    pulled, usual = (Running(on_one_segment(asked, p)).simulate() for p in (True, False))
    others = small_funnels.SEGMENT_OF != 0
    assert not np.array_equal(pulled.open[:, :, others], usual.open[:, :, others])


def test_capacity_is_never_exceeded_and_used_while_somebody_waits() -> None:
    asked = case(1, units=300, draws=5)
    found = run(asked)
    made, capacity = found.contacts.sum(axis=-1), asked["desks"].capacity.T
    assert (made <= capacity).all()
    assert (made == capacity)[found.waiting > 0].all()
    assert (found.waiting > 0).any()


def test_every_unit_is_in_exactly_one_place_at_each_step() -> None:
    asked = case(6, units=150, draws=1, steps=20)
    state, step_on = small_funnels.stepped(asked)
    for step in range(20):
        step_on(step)
        numbers, places = state.size[NUMBERS], state.size[PLACES]
        place = state.units["place"][:numbers]
        opened = np.flatnonzero(place != GONE)
        assert np.array_equal(state.open.unit[place[opened]], opened)
        free = state.free[: state.size[FREE]]
        assert np.array_equal(np.sort([*free, *opened]), np.arange(numbers))
        assert places - state.size[CLOSED] == opened.size == state.now.sum()
        cell = state.open.cell[place[opened]]
        counted = np.zeros_like(state.now)
        np.add.at(counted, (state.open.group[place[opened]], cell % STAGES), 1)
        assert np.array_equal(counted, state.now)
        waits = np.flatnonzero(state.tickets["until"][: numbers * 2] == WAITING)
        assert sorted(walked(state)) == waits.tolist()
        assert waits.size == state.queues.waiting.sum()
        assert set(waits // 2) <= set(opened)


def walked(state: State) -> list[int]:
    """Return the tickets of all chains from head to tail, and check the way back."""
    found = []
    for head, tail in state.queues.ends.reshape(-1, 2).tolist():
        last, ticket = -1, head
        while ticket != -1:
            assert state.tickets["before"][ticket] == last
            found.append(ticket)
            last, ticket = ticket, int(state.tickets["after"][ticket])
        assert tail == last
    return found


def test_open_units_are_those_before_and_arrived_less_those_closed() -> None:
    asked = case(8)
    moves = asked["parameters"].moves
    moves[..., -2] += moves[..., -1]
    moves[..., -1] = 0.0
    found = run(asked)
    chance = Chance(asked["span"].seed, asked["span"].first_draw, 0)
    arrived = kernel.arriving(asked["parameters"].rates, asked["parameters"].spread, chance)
    total = found.open.sum(axis=(2, 3)) + np.cumsum(found.won.sum(axis=(2, 3)), axis=1)
    assert np.array_equal(total, 60 + np.cumsum(arrived.sum(axis=-1), axis=1))


def test_winners_are_those_of_the_start_that_were_won() -> None:
    found = run(case(9))
    bits = np.unpackbits(found.winners, axis=1, bitorder="little")
    assert not bits[:, 60:].any()
    assert np.array_equal(bits.sum(axis=1), found.won[..., :2].sum(axis=(1, 2, 3)))
    assert np.array_equal(bits[:, :60].astype(bool), found.won_at > 0)
    steps = np.arange(1, 15)[:, None, None]
    by_step = (found.won_at[:, None] == steps[:, 0]).sum(axis=2)
    assert np.array_equal(by_step, found.won[..., :2].sum(axis=(2, 3)))


def test_what_does_not_fit_is_refused_with_every_rule_at_once() -> None:
    asked = case(0)
    asked["start"].desk[3] = 9
    asked["desks"] = asked["desks"]._replace(capacity=np.zeros((3, 5), np.int64))
    with pytest.raises(ValueError, match="within the desks; each desk has a capacity"):
        run(asked)


def test_nothing_to_simulate_is_nothing() -> None:
    asked = case(0, units=0, draws=2)
    asked["parameters"] = asked["parameters"]._replace(rates=np.zeros((2, 14, 2)))
    assert not any(field.any() for field in run(asked))
