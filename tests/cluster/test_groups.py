"""Groups: what is queued is handed on in order, together, and to the last item."""

from __future__ import annotations

import threading
import time

import pytest

from cluster import errors, groups


def test_items_are_handed_on_in_order_and_in_groups() -> None:
    handed: list[list[int]] = []
    queue = groups.Groups(handed.append, wait_s=0.5, limit=4, name="test")
    for number in range(10):
        queue.put(number)
    queue.close()
    assert handed == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_lone_item_waits_no_longer_than_said() -> None:
    handled = threading.Event()
    queue = groups.Groups[int](lambda _: handled.set(), wait_s=0.01, limit=4, name="test")
    started = time.monotonic()
    queue.put(1)
    assert handled.wait(5)
    assert time.monotonic() - started < 0.2
    queue.close()


def test_no_thread_runs_before_the_first_item() -> None:
    queue = groups.Groups[int](lambda _: None, wait_s=0, limit=4, name="never started")
    assert "never started" not in {thread.name for thread in threading.enumerate()}
    queue.close()


def test_a_closed_queue_takes_nothing() -> None:
    queue = groups.Groups[int](lambda _: None, wait_s=0, limit=4, name="test")
    queue.put(1)
    queue.close()
    queue.close()
    with pytest.raises(errors.WrongUse, match="closed"):
        queue.put(2)


def test_a_dead_thread_is_an_error_and_not_a_silent_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = groups.Groups[int](lambda _: None, wait_s=0, limit=4, name="test")
    monkeypatch.setattr(queue, "_thread", threading.Thread(target=lambda: None))
    queue.put(1)
    queue._thread.join()
    with pytest.raises(groups.GroupsStopped, match="open what owns it again"):
        queue.put(2)
