"""The breaker: when it opens, when it probes, when it closes; on a clock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.answer import breaker
from serving.answer.breaker import FIRST_S, IN_A_ROW, LONGEST_S, WINDOW, Breaker

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
    assert [made.probe_due(10.0 + FIRST_S), made.probe_due(100.0)] == [True, False]
    made.probed(12.0, well=True)
    assert not made.is_open
    assert not made.failed(13.0)


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
