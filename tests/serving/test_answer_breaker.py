"""The breaker: when it opens, when it probes, when it closes; on a clock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.answer import breaker
from serving.answer.breaker import FIRST_S, IN_A_ROW, LONGEST_S, SLOWEST_S, WINDOW, Breaker, Call

if TYPE_CHECKING:
    import pytest


def test_it_opens_on_failures_in_a_row_and_not_on_fewer() -> None:
    """An answer in between begins the count anew."""
    made = Breaker()
    for _ in range(3):
        assert not any(made.failed(0.0) for _ in range(IN_A_ROW - 1))
        made.answered()
    assert not made.is_open
    assert [made.failed(1.0) for _ in range(IN_A_ROW)] == [False] * (IN_A_ROW - 1) + [True]
    assert made.is_open


def test_it_opens_when_half_of_the_last_calls_failed() -> None:
    """Though never several in a row."""
    made = Breaker()
    for _ in range(WINDOW // 2):
        made.answered()
        made.failed(0.0)
    assert made.is_open


def test_a_probe_is_due_once_per_pause_and_a_good_one_closes() -> None:
    """Only one caller is told; after a good probe all is as at first."""
    made = Breaker()
    made.trip(10.0)
    assert not made.probe_due(10.0 + FIRST_S - 0.01)
    assert [made.probe_due(10.0 + FIRST_S), made.probe_due(12.0)] == [True, False]
    made.probed(12.0, well=True)
    assert not made.is_open
    assert not made.failed(13.0)


def test_for_a_probe_that_is_lost_another_is_due() -> None:
    """After the longest pause; what the lost one says later does not open a closed breaker."""
    made = Breaker()
    made.trip(0.0)
    assert made.probe_due(FIRST_S)
    assert not made.probe_due(FIRST_S + LONGEST_S - 0.01)
    assert made.probe_due(FIRST_S + LONGEST_S)
    made.probed(20.0, well=True)
    made.probed(21.0, well=False)
    assert not made.is_open


def test_pauses_double_up_to_the_longest() -> None:
    """1, 2, 4, 8, 8 ... seconds."""
    made, now, pauses = Breaker(), 0.0, []
    made.trip(now)
    for _ in range(6):
        began = now
        while not made.probe_due(now):
            now += 0.25
        pauses.append(now - began)
        made.probed(now, well=False)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert pauses[-1] == LONGEST_S


def test_failures_while_it_is_open_change_nothing() -> None:
    """They come of requests that were under way."""
    made = Breaker()
    made.trip(0.0)
    assert not any(made.failed(0.5) for _ in range(WINDOW))
    assert made.probe_due(FIRST_S)


def test_without_the_count_in_a_row_it_opens_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defence switched off."""
    monkeypatch.setattr(breaker, "IN_A_ROW", 1000)
    made = Breaker()
    assert not any(made.failed(0.0) for _ in range(IN_A_ROW))


# -- calls -----------------------------------------------------------------------------------------


def _opens(*, given_up: bool, spent_s: float, well: bool = True) -> bool:
    """Do IN_A_ROW calls of this kind open a breaker?"""
    made = Breaker()
    for _ in range(IN_A_ROW):
        call = Call(breaker=made, began=0.0)
        call.is_given_up = given_up
        call.came_back(spent_s, well=well)
    return made.is_open


def test_a_deadline_alone_is_no_failure_of_the_model() -> None:
    """Only a call that raised, or one that was given up and was slow as well."""
    assert not _opens(given_up=True, spent_s=SLOWEST_S)
    assert not _opens(given_up=False, spent_s=10 * SLOWEST_S)
    assert _opens(given_up=True, spent_s=2 * SLOWEST_S)
    assert _opens(given_up=False, spent_s=0.0, well=False)


def test_without_the_limit_short_deadlines_would_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defence switched off."""
    monkeypatch.setattr(breaker, "SLOWEST_S", 0.0)
    assert _opens(given_up=True, spent_s=SLOWEST_S)


def test_a_call_that_came_back_is_not_stuck() -> None:
    """Though the group that it was part of may be."""
    made = Breaker()
    call = Call(breaker=made, began=0.0)
    call.came_back(0.01, well=True)
    call.stuck(1.0)
    assert not made.is_open
    Call(breaker=made, began=0.0).stuck(1.0)
    assert made.is_open
