"""The entrance of arrivals: requests that come while others are committed share the next commit.

A request is answered when its own events are durable. What fails for one request of a group is
tried again for each alone, so that its neighbours are taken in all the same.
"""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import errors, groups
from cluster.database import cause
from features.arrivals.intake import Intake, Outcome
from features.arrivals.lookup import Arrival, Lookup
from features.arrivals.wire import MOST_EVENTS, Malformed, Sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cluster.workspace import Workspace
    from features.contracts import Contract
    from features.online import OnlineStore

WAIT_S = 0.001  # how long the first request of a group waits for others, while others are about
_LOST_RACES = {"40001", "40P01"}  # PostgreSQL: serialisation failure, deadlock


class EntranceBroken(errors.FunnelcastError):
    """The events could not be made durable; they may be sent again."""


@dataclass(frozen=True, kw_only=True)
class _Request:
    arrivals: list[Arrival]
    future: Future[list[Outcome]] = field(default_factory=Future)


class Entrance:
    """Takes arrivals in. Safe to share between threads and with other processes.

    Its thread starts with the first request and ends with the entrance.
    """

    def __init__(
        self, workspace: Workspace, store: OnlineStore, terms: Mapping[str, Contract]
    ) -> None:
        self._lookup = Lookup(workspace, store, terms)
        settle = partial(_settle, Intake(workspace, store, terms))
        self._groups = groups.Groups[_Request](
            settle, wait_s=WAIT_S, limit=MOST_EVENTS, name="arrivals", waits_alone=False
        )
        weakref.finalize(self, self._groups.close)

    def accept(self, sent: Sequence[Sent | Malformed]) -> list[Outcome]:
        """Take events in, in their order; all that is accepted or refused is durable on return.

        EntranceBroken when the database does not take them.
        """
        if not sent:
            return []
        request = _Request(arrivals=self._lookup.arrivals(sent))
        self._groups.put(request)
        return request.future.result()


def _settle(intake: Intake, queued: list[_Request]) -> None:
    for part in _parts(queued):
        _settle_together(intake, part)


def _parts(queued: list[_Request]) -> Iterator[list[_Request]]:
    """Yield the requests in order, each time as many as hold no more events than one may."""
    part: list[_Request] = []
    size = 0
    for request in queued:
        size += len(request.arrivals)
        if part and size > MOST_EVENTS:
            yield part
            part, size = [], len(request.arrivals)
        part.append(request)
    yield part


def _settle_together(intake: Intake, part: list[_Request]) -> None:
    try:
        outcomes = iter(intake.take([arrival for each in part for arrival in each.arrivals]))
    except Exception as error:  # whatever it was, every waiting caller must hear of it
        _settle_failed(intake, part, error)
        return
    for request in part:
        request.future.set_result([next(outcomes) for _ in request.arrivals])


def _settle_failed(intake: Intake, part: list[_Request], error: Exception) -> None:
    if len(part) > 1 and not _concerns_all(error):
        for request in part:
            _settle_together(intake, [request])
        return
    for request in part:
        request.future.set_exception(_broken(error) if _concerns_all(error) else error)


def _concerns_all(error: Exception) -> bool:
    """Whether the database itself failed: each request alone would only wait for it once more."""
    lost = getattr(getattr(error, "orig", None), "sqlstate", None) in _LOST_RACES
    return isinstance(error, sa.exc.OperationalError) and not lost


def _broken(error: Exception) -> EntranceBroken:
    broken = EntranceBroken(
        f"events must become durable, got '{cause(error)}': mend the database and send them again"
    )
    broken.__cause__ = error
    return broken
