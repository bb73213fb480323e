"""What each route needs: declared beside its endpoint, and a route without it is no application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastapi.routing import iter_route_contexts
from starlette.routing import Match

from cluster.errors import WrongUse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi.routing import RouteContext
    from starlette.routing import BaseRoute
    from starlette.types import Scope

    from cluster.access.permissions import Permission

# Pages that describe the API and hold no data, and what they are drawn with
PAGES = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc", "/static-offline-docs"}
_MARK, _ROWS = "__needs__", "__rows__"


class Anybody:
    """What a route needs that nobody must be known for."""

    def __repr__(self) -> str:
        """Return the word for it."""
        return "anybody"


ANYBODY = Anybody()

type Need = Permission | Anybody
# How an endpoint treats rows of regions and teams: it shows all of them, shows each principal its
# own, or has none to show. Who is bound to rows is let into the latter two alone.
type Rows = Literal["all", "told apart", "none"]
ALL: Rows = "all"
TOLD_APART: Rows = "told apart"
NONE: Rows = "none"


def needs[F: Callable[..., Any]](need: Need, *, rows: Rows = ALL) -> Callable[[F], F]:
    """Declare what the endpoint needs, and how it treats rows; put it next to the endpoint, below
    the route.
    """

    def mark(endpoint: F) -> F:
        setattr(endpoint, _MARK, need)
        setattr(endpoint, _ROWS, rows)
        return endpoint

    return mark


class Declared:
    """What the routes of one application need."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        """WrongUse, which names them, if routes declare nothing."""
        self._needs = [(route, _need(route)) for route in iter_route_contexts(routes)]
        if bare := [_name(route) for route, need in self._needs if need is None]:
            raise WrongUse(
                f"every route must declare what it needs, got {', '.join(bare)} without: put"
                " @needs(...) on the endpoint"
            )

    def of(self, scope: Scope) -> Need | None:
        """Return what a request needs; None if no route is there for it."""
        found = self._found(scope)
        return found and found[1]

    def shows_all(self, scope: Scope) -> bool:
        """Is a request to a route that shows rows of every region and team?"""
        found = self._found(scope)
        return found is None or getattr(found[0].endpoint, _ROWS, ALL) == ALL

    def _found(self, scope: Scope) -> tuple[RouteContext, Need | None] | None:
        matching = (each for each in self._needs if each[0].matches(scope)[0] is Match.FULL)
        return next(matching, None)

    def table(self) -> list[tuple[str, str, str]]:
        """Return method, path and need of every route."""
        return [
            (method, route.path or "", str(need))
            for route, need in self._needs
            for method in sorted(route.methods or {"GET"})
        ]


def _need(route: RouteContext) -> Need | None:
    if route.path in PAGES:
        return ANYBODY
    found: Need | None = getattr(route.endpoint, _MARK, None)
    return found


def _name(route: RouteContext) -> str:
    return f"{'/'.join(sorted(route.methods or {'?'}))} {route.path}"
