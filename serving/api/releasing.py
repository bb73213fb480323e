"""Routes of releases: where they stand, what was live when, and orders to them.

Handlers run on threads beside the event loop. Who gives an order is the principal of the request;
each ref that it moves asks once more.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic_core import to_json

from cluster.access.acting import NotAllowed
from cluster.access.granted import granted
from cluster.access.permissions import Permission
from cluster.errors import FunnelcastError, Refusal, nearest
from serving.access.declared import ALL, NONE, needs
from serving.access.guard import principal_of
from serving.api import bodies
from serving.api.bounds import RELEASES
from serving.api.problems import documented, of_refusal, response
from serving.api.reading import Id
from serving.leading import followers, moments, orders, plain
from serving.leading.orders import NotAnswered, Order
from serving.leading.standing import Cases
from serving.slots import releases
from serving.wire.base import Moment
from serving.wire.problems import Problem
from serving.wire.releases import (
    ASKED,
    MOST_MOVES,
    ReleaseHistoryOut,
    ReleasesOut,
    StandingDetailOut,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.access.principal import Principal
    from cluster.workspace import Workspace
    from serving.slots.watcher import Watcher

MOVES = 100  # of a history that says no limit
Target = Annotated[Id, Path(examples=["lead_qualification"])]
Limit = Annotated[int, Query(ge=1, le=MOST_MOVES)]
At = Annotated[Moment | None, Query(description="A moment: what was live then?")]
SUMMARIES = {
    "start": "Begin a release at its first step",
    "advance": "Go on to the next step",
    "approve": "Approve the step that waits for it",
    "pause": "Stand where it is",
    "resume": "Go on after a pause or a hold",
    "abort": "Call a release off",
    "rollback": "Undo a release: what answered before answers all",
}


class Service(Protocol):
    """What is asked."""

    workspace: Workspace

    @property
    def watcher(self) -> Watcher:
        """What follows the refs."""


def router(service: Service) -> APIRouter:
    """Return the routes of releases."""
    routes = APIRouter(tags=["releases"])
    desk = _Desk(service)
    _add_reads(routes, desk)
    _add_history(routes, desk)
    for action in orders.ACTIONS:
        _add_order(routes, desk, action)
    return routes


class _Desk:
    """Answers in plain values; safe to share between threads."""

    def __init__(self, service: Service) -> None:
        self._watcher = service.watcher
        self._workspace = service.workspace
        self._cases = Cases(service.workspace.database)

    def every(self) -> dict[str, Any]:
        names = sorted({*self._watcher.answered, *releases.targets(self._workspace)})
        found = ((name, releases.current(self._workspace, name)) for name in names)
        return {"releases": [plain.standing(name, kept) for name, kept in found]}

    def one(self, target: str) -> dict[str, Any] | Refusal:
        place, now = self._workspace, self._workspace.clock()
        if (missing := self.missing(target)) is not None:
            return missing
        kept = releases.current(place, target)
        seen = self._cases.read(kept.release, now) if kept else None
        follow = followers.followers(place.database, target, kept.epoch if kept else 0, now)
        return {
            **plain.standing(target, kept),
            "judged": plain.judged(seen, kept.release) if kept else None,
            "replicas": plain.replicas(follow),
        }

    def history(self, target: str, most: int, at: Moment | None) -> dict[str, Any] | Refusal:
        place = self._workspace
        if (missing := self.missing(target)) is not None:
            return missing
        kept = releases.history(place, target, most=most)
        policy = self._watcher.answered.get(target) or kept[-1].release.policy
        live = None if at is None else plain.live(moments.live(place, target, policy, at))
        return {"target": target, "moves": [plain.move(each) for each in kept], "live": live}

    def led(self, order: Order, who: Principal) -> dict[str, Any] | Refusal:
        if (missing := self.missing(order.target)) is not None:
            return missing
        found = orders.led(granted(self._workspace, who, order.reason), order)
        return found if isinstance(found, Refusal) else self.one(order.target)

    def missing(self, target: str) -> NotAnswered | None:
        """Return why nothing is known of a target; None if something is."""
        known = {*self._watcher.answered, *releases.targets(self._workspace)}
        if target in known:
            return None
        hint = nearest(target, known) if known else "start the service with one"
        shown = "".join(c if c.isprintable() else "?" for c in target[:60])
        rule = "a target must be one that the service answers with"
        return NotAnswered(rule=rule, value=f"'{shown}'", remedy=hint)


def _add_reads(routes: APIRouter, desk: _Desk) -> None:
    @routes.get(
        RELEASES,
        responses={200: {"model": ReleasesOut}},
        summary="Return the newest release of every target",
    )
    @needs(Permission.RELEASES_READ, rows=NONE)
    def every() -> Response:
        """Return where the newest release of each target stands."""
        return _answer(desk.every())

    @routes.get(
        RELEASES + "/{target}",
        responses={200: {"model": StandingDetailOut}, **documented(404, 422)},
        summary="Return where a release stands, what is held against it, and who follows it",
    )
    @needs(Permission.RELEASES_READ, rows=NONE)
    def one(target: Target) -> Response:
        """Return the newest release of a target, what its guards say, and which replicas have come
        to its newest move.
        """
        return _answer(desk.one(target))


def _add_history(routes: APIRouter, desk: _Desk) -> None:
    @routes.get(
        RELEASES + "/{target}/history",
        responses={200: {"model": ReleaseHistoryOut}, **documented(404, 422)},
        summary="Return the moves of releases, and what was live at a moment",
    )
    @needs(Permission.RELEASES_READ, rows=NONE)
    def history(
        target: Target,
        limit: Limit = MOVES,
        at: At = None,
    ) -> Response:
        """Return the newest moves, and with `at` model, policy and shares that were live then."""
        return _answer(desk.history(target, limit, at))


def _add_order(routes: APIRouter, desk: _Desk, action: str) -> None:
    kind = ASKED[action]

    @routes.post(
        f"{RELEASES}/{{target}}/{action}",
        responses={200: {"model": StandingDetailOut}, **documented(404, 409, 422)},
        openapi_extra=bodies.described(kind),
        operation_id=f"{action}_release",
        summary=SUMMARIES[action],
    )
    @needs(orders.NEEDS[action], rows=ALL)
    async def lead(target: Target, request: Request) -> Response:
        """Carry the order out if the release is still where it was seen (`expect_epoch`). The same
        order sent again is not carried out twice.
        """
        body, who = await request.body(), principal_of(request.scope)
        return await run_in_threadpool(_led, desk, (action, target), body, who)


def _led(desk: _Desk, what: tuple[str, str], body: bytes, who: Principal) -> Response:
    action, target = what
    asked = bodies.read(ASKED[action], body)
    if isinstance(asked, Problem):
        return response(asked)
    given = asked.model_dump()
    try:
        order = Order(action=action, target=target, actor=who.subject, **given)
        return _answer(desk.led(order, who))
    except NotAllowed as error:
        return response(Problem.of(HTTPStatus.FORBIDDEN, str(error)))
    except FunnelcastError as error:  # what is asked for is not there, or not as it must be
        return response(Problem.of(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)))


def _answer(said: Mapping[str, Any] | Refusal) -> Response:
    if isinstance(said, Refusal):
        return response(of_refusal(said))
    return Response(to_json(said), media_type="application/json")
