"""What is made once for each key: by one, while others of the same key wait and no others do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import TYPE_CHECKING

import pytest

from serving.simulations.once import Once

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 5.0


def waits_for(event: Event, said: str) -> Callable[[], str]:
    """Return what is made only after something else was."""

    def make() -> str:
        if not event.wait(0.5):
            raise TimeoutError
        return said

    return make


def meets(once: Once) -> str:
    """Make one thing while another, of another key, is under way."""
    begun, over = Event(), Event()

    def slow() -> str:
        begun.set()
        return waits_for(over, "slow")()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(once.get, ("a",), slow)
        assert begun.wait(WAIT_S)
        assert once.get(("b",), lambda: over.set() or "quick") == "quick"
        return first.result(WAIT_S)


def test_who_asks_for_another_key_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    assert meets(Once(4)) == "slow"
    whole, one = Lock(), Once.get

    def alone(self: Once, key: tuple[str, ...], make: Callable[[], str]) -> str:
        with whole:
            return one(self, key, make)

    monkeypatch.setattr(Once, "get", alone)
    with pytest.raises(TimeoutError):
        meets(Once(4))


def test_each_is_made_once_and_the_last_few_are_remembered() -> None:
    once, made = Once(2), []

    def make(said: str) -> Callable[[], str]:
        return lambda: made.append(said) or said

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(lambda _: once.get(("a",), make("a")), range(30))) == {"a"}
    assert made == ["a"]
    for key in ("b", "c", "a"):
        once.get((key,), make(key))
    assert made == ["a", "b", "c", "a"], "the oldest was forgotten"


def test_what_fails_is_tried_again() -> None:
    once = Once(2)
    with pytest.raises(ZeroDivisionError):
        once.get(("a",), lambda: 1 // 0)
    assert once.get(("a",), lambda: 1) == 1
