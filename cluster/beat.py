"""A beat: one thing done again and again beside everything else, until it is closed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Beat:
    """Calls `do` every `every_s` seconds on a thread of its own; what `do` raises ends it."""

    def __init__(self, do: Callable[[], object], *, every_s: float, name: str) -> None:
        self._do = do
        self._every_s = every_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first call comes after `every_s`."""
        self._thread.start()

    def close(self) -> bool:
        """Stop, after the call that is under way; False if it never began."""
        self._closing.set()
        if self._thread.ident is None:
            return False
        self._thread.join()
        return True

    def _run(self) -> None:
        while not self._closing.wait(self._every_s):
            self._do()
