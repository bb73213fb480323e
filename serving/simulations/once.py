"""What is made once for each key, by whoever comes first, and remembered for the last few."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Once:
    """Safe to share between threads: others of the same key wait until it is made, no others do."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._making: dict[tuple[Any, ...], Lock] = {}
        self._lock = Lock()

    def get[T](self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what was made for a key, never None, or make it."""
        with self._lock:
            making = self._making.setdefault(key, Lock())
        with making:
            found: T | None = self._kept.get(key)
            if found is None:
                found = make()
                self._keep(key, found)
            return found

    def _keep(self, key: tuple[Any, ...], made: object) -> None:
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self._most:
                old, _ = self._kept.popitem(last=False)
                self._making.pop(old, None)
