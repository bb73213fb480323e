"""Kept: the last things that were made from something that never changes, each made once."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Lock
from typing import TYPE_CHECKING

from cluster.errors import WrongUse

if TYPE_CHECKING:
    from collections.abc import Callable


class Kept[K, V]:
    """Things by key; those asked for last stay, as long as their sizes add up to `most` or less.

    The last one asked for always stays. Safe to share between threads: who asks for what another
    thread is making waits for it. What could not be made is forgotten, and its error is raised in
    all who asked.
    """

    def __init__(self, most: int, size: Callable[[V], int] = lambda _: 1) -> None:
        if most < 1:
            raise WrongUse(f"what is kept must be 1 or more, got {most}: give a larger number")
        self._most = most
        self._size = size
        self._lock = Lock()
        self._found: dict[K, Future[V]] = {}  # by when they were asked for last

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return what is kept under a key, made now if it is not there."""
        with self._lock:
            known = self._found.pop(key, None)
            found = known or Future[V]()
            self._found[key] = found
        if known is None:
            self._make(key, found, make)
        return found.result()

    def __len__(self) -> int:
        return len(self._found)

    def _make(self, key: K, found: Future[V], make: Callable[[], V]) -> None:
        try:
            made = make()
        except BaseException as error:  # whatever it was, all who wait must hear of it
            with self._lock:
                if self._found.get(key) is found:
                    del self._found[key]
            found.set_exception(error)
        else:
            found.set_result(made)
            self._shrink()

    def _shrink(self) -> None:
        with self._lock:
            sizes = {k: self._size(f.result()) for k, f in self._found.items() if f.done()}
            held = sum(sizes.values())
            for key in list(sizes)[:-1]:
                if held <= self._most:
                    return
                held -= sizes[key]
                del self._found[key]
