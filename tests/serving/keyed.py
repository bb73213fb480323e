"""A service that is asked with keys, at a time that is moved by hand."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cluster.workspace import Workspace
from serving.answer.service import DecisionService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.settings import Settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PEPPER = bytes(32)
HERE = "http://127.0.0.1"


@dataclass
class Clock:
    """A clock that is moved by hand."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


@contextmanager
def without_models(settings: Settings, clock: Clock) -> Iterator[DecisionService]:
    """Open a service without models and without data, and close it."""
    with Workspace.open(settings, clock=clock) as workspace:
        made = DecisionService(workspace, {})
        yield made
        made.close()
