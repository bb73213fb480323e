"""The route of flags. Its handler is a plain function: it waits for the journal on a thread."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import AfterValidator

from cluster.access.permissions import Permission
from cluster.errors import Refusal
from cluster.journal import JournalBroken
from serving.access.declared import needs
from serving.answer.exposing import Exposures
from serving.answer.service import MOST_UNRECORDED
from serving.api.problems import documented, response
from serving.api.reading import BOUND, Id, without_controls
from serving.releases import flags
from serving.wire.flags import FlagOut
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.answer.service import DecisionService
    from serving.releases.flags import Flag

type Account = Annotated[str, Query(**BOUND), AfterValidator(without_controls)]


def router(service: DecisionService, declared: Mapping[str, Flag]) -> APIRouter:
    """Return the route of flags."""
    routes, exposures = APIRouter(tags=["flags"]), Exposures(service.workspace)

    @routes.get(
        "/v1/flags/{name}",
        responses={200: {"model": FlagOut}, **documented(404, 422, 503)},
        summary="Return the variant of an account",
    )
    @needs(Permission.DECISIONS_MAKE)
    def flag(
        name: Annotated[Id, Path(examples=["call_script"])],
        account: Annotated[Account, Query(examples=["account-00007"])],
        segment: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Return the variant of an account, the same as ever; that it was told is durable before
        the answer, once per account and version.
        """
        found = flags.named(declared, name)
        if isinstance(found, Refusal):
            return response(Problem.of(HTTPStatus.NOT_FOUND, str(found)))
        if service.store.shard_of("account", account) is None:
            detail = f"the account must be in the event log, got '{account}'"
            return response(Problem.of(HTTPStatus.NOT_FOUND, detail))
        if not found.is_for(segment):
            return _answer(found, account, found.otherwise, is_exposed=False)
        return _exposed(service, exposures, flags.Exposed(flag=found, account=account))

    return routes


def _exposed(service: DecisionService, exposures: Exposures, exposed: flags.Exposed) -> Response:
    journal = service.workspace.journal
    if journal.waiting > MOST_UNRECORDED:
        return _unrecorded(f"more than {MOST_UNRECORDED} records wait for the journal")
    try:
        exposures.keep(exposed)
    except JournalBroken as error:
        return _unrecorded(str(error))
    return _answer(exposed.flag, exposed.account, exposed.body()["variant"], is_exposed=True)


def _answer(flag: Flag, account: str, variant: str, *, is_exposed: bool) -> Response:
    said = FlagOut(
        flag=flag.name, version=flag.id, account=account, variant=variant, exposed=is_exposed
    )
    return Response(said.model_dump_json(), media_type="application/json")


def _unrecorded(cause: str) -> Response:
    detail = f"an exposure must be durable before it is told, got {cause}: ask again"
    return response(Problem.of(HTTPStatus.SERVICE_UNAVAILABLE, detail))
