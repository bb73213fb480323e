"""Groups: what is queued is handed on in order, together, and to the last item."""

from __future__ import annotations

import queue as queues
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


def test_a_lone_item_that_need_not_wait_alone_does_not_wait() -> None:
    """And neither does the next one, that comes when all is quiet again."""
    handled: queues.SimpleQueue[list[int]] = queues.SimpleQueue()
    queue = groups.Groups(handled.put, wait_s=5, limit=4, name="test", waits_alone=False)
    for number in range(2):
        queue.put(number)
        assert handled.get(timeout=2) == [number]
        time.sleep(0.05)
    queue.close()


def test_what_came_while_a_lone_item_was_handled_waits_for_more() -> None:
    """Others are about: they will come again as soon as they are answered."""
    handled, goes_on, queue = _held_up()
    queue.put(0)
    assert handled.get(timeout=2) == [0]
    queue.put(1)
    goes_on.set()
    time.sleep(0.05)
    queue.put(2)
    assert handled.get(timeout=2) == [1, 2]
    queue.close()


def test_what_follows_a_group_of_several_waits_for_more() -> None:
    """Though the queue was empty when it came."""
    handled, goes_on, queue = _held_up()
    for number in range(5):
        queue.put(number)
        if not number:
            assert handled.get(timeout=2) == [0]
    goes_on.set()
    assert handled.get(timeout=2) == [1, 2, 3, 4]
    queue.put(5)
    time.sleep(0.05)
    queue.put(6)
    assert handled.get(timeout=2) == [5, 6]
    queue.close()


def _held_up() -> tuple[queues.SimpleQueue[list[int]], threading.Event, groups.Groups[int]]:
    """Return the groups of a queue that does not wait alone, what lets it go on, and the queue."""
    handled: queues.SimpleQueue[list[int]] = queues.SimpleQueue()
    goes_on = threading.Event()

    def handle(group: list[int]) -> None:
        handled.put(group)
        goes_on.wait(5)

    queue = groups.Groups(handle, wait_s=0.5, limit=4, name="test", waits_alone=False)
    return handled, goes_on, queue


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


def test_the_thread_itself_may_close_its_queue() -> None:
    """It need not wait for itself."""
    closed = threading.Event()

    def handle(_: list[int]) -> None:
        queue.close()
        closed.set()

    queue = groups.Groups(handle, wait_s=0, limit=4, name="test")
    queue.put(1)
    assert closed.wait(5)
    queue.close()


def test_a_dead_thread_is_an_error_and_not_a_silent_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = groups.Groups[int](lambda _: None, wait_s=0, limit=4, name="test")
    monkeypatch.setattr(queue, "_thread", threading.Thread(target=lambda: None))
    queue.put(1)
    queue._thread.join()
    with pytest.raises(groups.GroupsStopped, match="open what owns it again"):
        queue.put(2)
