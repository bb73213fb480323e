"""Routes for reading: explanations, scores of accounts, priority lists, models and policies.

Handlers are plain functions, so they run on threads beside the event loop.
"""

from __future__ import annotations

import re
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator
from pydantic_core import to_json

from cluster.access.permissions import Permission
from cluster.errors import Refusal
from cluster.settings import CONFIGS
from features import contracts
from serving import evidence
from serving.access import columns, fields, rows
from serving.access.declared import NONE, TOLD_APART, needs
from serving.access.guard import principal_of
from serving.access.rows import Shown
from serving.answer import past
from serving.api.problems import documented, response
from serving.reading import accounts, catalogue, explanation, plain, priority
from serving.reading.cursor import CursorGone
from serving.reading.explanation import Sight, Sources
from serving.slots.past import slot_of
from serving.wire.accounts import AccountScoresOut, PageOut
from serving.wire.base import NO_CONTROLS
from serving.wire.catalogue import ModelDetailOut, ModelsOut, PoliciesOut, PolicyDetailOut
from serving.wire.explanations import ExplanationOut
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cluster.access.principal import Principal
    from cluster.workspace import Workspace
    from features.consent import Keeper
    from features.online import OnlineStore
    from features.online.areas import Areas
    from serving.decide import Basis
    from serving.slots.active import Slots
    from serving.slots.slot import Slot

LONGEST = 200  # letters of an id in a path


def without_controls(text: str) -> str:
    """Return an id; ValueError if it holds control characters."""
    if not re.fullmatch(NO_CONTROLS, text):
        raise ValueError("an id must hold no control characters")
    return text


BOUND: dict[str, Any] = {
    "min_length": 1,
    "max_length": LONGEST,
    "json_schema_extra": {"pattern": NO_CONTROLS},
}
Id = Annotated[str, Path(**BOUND), AfterValidator(without_controls)]
Name = Annotated[str, Query(**BOUND), AfterValidator(without_controls)]


class Service(Protocol):
    """What is asked."""

    workspace: Workspace
    store: OnlineStore
    areas: Areas
    keeper: Keeper

    @property
    def slots(self) -> Slots:
        """What answers now."""

    def recorded(self, id: str, eyes: Principal | None = None) -> dict[str, Any] | None:
        """Return the record of a decision; None if there is none of this id for these eyes."""


def router(service: Service) -> APIRouter:
    """Return the routes that read what a service knows."""
    routes = APIRouter()
    _add_explanation(routes, service)
    _add_scores(routes, service)
    _add_lists(routes, service)
    _add_models(routes, service)
    _add_policies(routes, service)
    return routes


def _add_explanation(routes: APIRouter, service: Service) -> None:
    terms = contracts.load_contracts(CONFIGS / "contracts")
    sources, classify = _sources(service, terms), columns.classify(terms)

    def opener(body: dict[str, Any], who: Principal) -> fields.Opens:
        return fields.opener(body["basis"]["view"], fields.narrowed(who))

    @routes.get(
        "/v1/decisions/{id}/explanation",
        responses={200: {"model": ExplanationOut}, **documented(404, 410, 422)},
        tags=["decisions"],
        summary="Explain a decision, down to the rows of its sources",
    )
    @needs(Permission.EXPLANATIONS_READ, rows=TOLD_APART)
    def explain(
        request: Request,
        id: Id,
        most: Annotated[int, Query(ge=1, le=explanation.MOST)] = evidence.MOST,
    ) -> Response:
        """Return every reason with its features, and the newest events that each was made from."""
        who = principal_of(request.scope)
        body = service.recorded(id, rows.bound(who))
        if body is None:
            return _problem(HTTPStatus.NOT_FOUND, f"no decision has the id '{id}'")
        if isinstance(old := past.read(body), Refusal):
            return _problem(HTTPStatus.GONE, str(old))
        sight = Sight(opens=opener(body, who), shows=_shows(service, who))
        found = explanation.explain(body, sources, most=most, sight=sight)
        said = plain.explanation(found)
        return _answer(fields.explanation(said, sight.opens, who, classify))


def _add_scores(routes: APIRouter, service: Service) -> None:
    known = accounts.Accounts(service.workspace, service.keeper)

    @routes.get(
        "/v1/accounts/{id:path}/scores",
        responses={200: {"model": AccountScoresOut}, **documented(404, 422)},
        tags=["accounts"],
        summary="Return how the scores of an account went, and why they moved",
    )
    @needs(Permission.ACCOUNTS_READ, rows=TOLD_APART)
    def scores(
        request: Request,
        id: Annotated[Id, Path(examples=["account-00007"])],
        target: Name | None = None,
        limit: Annotated[int, Query(ge=1, le=accounts.MOST)] = accounts.LIMIT,
        why: bool = True,
    ) -> Response:
        """Return the scores of its entities in the newest `limit` snapshots of each target, newest
        first. `why=false` is faster: a move is told by scoring it again.
        """
        who = principal_of(request.scope)
        shows = None if rows.bound(who) is None else _shows(service, who)
        is_hidden = shows is not None and not shows("account", id)
        asked, limit = ("", 1) if is_hidden else (id, limit)  # the same words after the same work
        found = known.scores(asked, target=target, limit=limit, why=why, shows=shows)
        if isinstance(found, Refusal):
            return _problem(HTTPStatus.NOT_FOUND, str(found))
        if is_hidden or (not found and service.store.shard_of("account", id) is None):
            return _problem(
                HTTPStatus.NOT_FOUND, f"the account must be in the event log, got '{id}'"
            )
        return _answer(plain.scores(id, found))


def _add_lists(routes: APIRouter, service: Service) -> None:
    lists = priority.Priority(service.workspace, service.keeper)

    @routes.get(
        "/v1/accounts",
        responses={200: {"model": PageOut}, **documented(410, 422)},
        tags=["accounts"],
        summary="Return whom to look at first, and why",
    )
    @needs(Permission.ACCOUNTS_READ, rows=TOLD_APART)
    def accounts_by_priority(
        request: Request,
        list: Annotated[Literal["high_intent", "at_risk"], Query()],
        order: Annotated[Literal["priority"], Query()] = "priority",
        limit: Annotated[int, Query(ge=1, le=priority.MOST)] = priority.LIMIT,
        after: Annotated[str | None, Query(max_length=400)] = None,
    ) -> Response:
        """Return a page of a list; its `next`, given as `after`, returns the page behind it."""
        slot = service.slots.of(priority.KIND[list])
        first = slot.target.name if slot else ""
        who = principal_of(request.scope)
        shown = None if rows.bound(who) is None else Shown(principal=who, areas=service.areas)
        found = lists.page(list, limit=limit, after=after, first=first, shown=shown)
        if isinstance(found, Refusal):
            is_gone = isinstance(found, CursorGone)
            return _problem(
                HTTPStatus.GONE if is_gone else HTTPStatus.UNPROCESSABLE_ENTITY, str(found)
            )
        opens = fields.opener(lists.made_by(found), fields.narrowed(who))
        return _answer(fields.page(plain.page(found), opens))


def _add_models(routes: APIRouter, service: Service) -> None:
    @routes.get(
        "/v1/models",
        responses={200: {"model": ModelsOut}},
        tags=["catalogue"],
        summary="Return the targets that have models, and which are live",
    )
    @needs(Permission.MODELS_READ, rows=NONE)
    def models() -> Response:
        """Return every target for which a model was published."""
        found = catalogue.models(service.workspace)
        return _answer({"models": [plain.model(each) for each in found]})

    @routes.get(
        "/v1/models/{target}",
        responses={200: {"model": ModelDetailOut}, **documented(404, 422)},
        tags=["catalogue"],
        summary="Return the models of a target: which was live when, and how good the live one is",
    )
    @needs(Permission.MODELS_READ, rows=NONE)
    def model(target: Annotated[Id, Path(examples=["lead_qualification"])]) -> Response:
        """Return the aliases of a target, their history, and the card of the live model."""
        found = catalogue.model(service.workspace, target)
        if isinstance(found, Refusal):
            return _problem(HTTPStatus.NOT_FOUND, str(found))
        return _answer(plain.model_detail(found))


def _add_policies(routes: APIRouter, service: Service) -> None:
    @routes.get(
        "/v1/policies",
        responses={200: {"model": PoliciesOut}},
        tags=["catalogue"],
        summary="Return the policies, and which version of each is active",
    )
    @needs(Permission.POLICIES_READ, rows=NONE)
    def policies() -> Response:
        """Return every policy that was published or is declared."""
        found = catalogue.every_policy(service.workspace)
        return _answer({"policies": [plain.policy(each) for each in found]})

    @routes.get(
        "/v1/policies/{name}",
        responses={200: {"model": PolicyDetailOut}, **documented(404, 422)},
        tags=["catalogue"],
        summary="Return the versions of a policy: which was active when, by whom and why",
    )
    @needs(Permission.POLICIES_READ, rows=NONE)
    def policy(name: Annotated[Id, Path(examples=["lead_routing"])]) -> Response:
        """Return the versions of a policy and its history."""
        found = catalogue.policy(service.workspace, name)
        if isinstance(found, Refusal):
            return _problem(HTTPStatus.NOT_FOUND, str(found))
        return _answer(plain.policy_detail(found))


def _shows(service: Service, who: Principal) -> Callable[[str, str], bool]:
    """Return whether an entity, by kind and key, is for somebody's eyes."""
    if rows.bound(who) is None:
        return lambda *_: True
    return cache(lambda kind, key: rows.sees(who, service.areas.of(kind, key)))


def _sources(service: Service, terms: Mapping[str, contracts.Contract]) -> Sources:
    rules = contracts.Rules.of(terms)

    def slot(basis: Basis) -> Slot | Refusal:
        live = service.slots.by_kind.values()
        if found := next((each for each in live if each.basis == basis), None):
            return found
        again = slot_of(service.workspace, basis)
        return again if isinstance(again, Refusal) else again.slot

    return Sources(
        slot=slot,
        history=lambda body: past.history(service.store, rules, body),
        file=explanation.files(service.workspace),
    )


def _answer(said: dict[str, Any]) -> Response:
    return Response(to_json(said), media_type="application/json")


def _problem(status: HTTPStatus, detail: str) -> Response:
    return response(Problem.of(status, detail))
