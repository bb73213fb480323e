"""The trip of one request: its place in a trace, for whoever tells of it on the way."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.observe.context import Context


@dataclass(kw_only=True)
class Trip:
    """One request. Tasks and threads that it starts see the same one."""

    context: Context | None = None  # its span; None where it belongs to no trace
    is_told: bool = False  # has a line been written of what came of it?


_TRIP: ContextVar[Trip | None] = ContextVar("trip", default=None)


def begin(context: Context | None) -> Trip:
    """Begin the trip of a request."""
    made = Trip(context=context)
    _TRIP.set(made)
    return made


def current() -> Trip | None:
    """Return the trip that the caller is part of; None outside of requests."""
    return _TRIP.get()
