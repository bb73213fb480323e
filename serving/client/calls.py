"""Every question of the API as a request and the way to read its answer. Pure."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from serving.client import errors
from serving.client.flow import Asking, Call
from serving.wire import (
    accounts,
    catalogue,
    decisions,
    events,
    explanations,
    flags,
    inference,
    overrides,
    releases,
    simulations,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

JSON = {"content-type": "application/json"}
KEY_HEADER = "idempotency-key"
RELEASES, SIMULATIONS = "/v1/releases", "/v1/simulations"


def new_key() -> str:
    """Return an idempotency key that nobody else makes."""
    return uuid.uuid4().hex


def decide(members: Mapping[str, Any]) -> Call[decisions.DecisionOut]:
    """Ask for a decision; Invalid when the members of the request are wrong.

    Its key goes in the header: kept over the retries, and the request is the same without it.
    """
    asked = request(members)
    key = asked.idempotency_key or new_key()
    asking = Asking(
        method="POST",
        path="/v1/decisions",
        headers={**JSON, KEY_HEADER: key},
        content=asked.model_dump_json(
            exclude_none=True, exclude_defaults=True, exclude={"idempotency_key"}
        ).encode(),
    )
    return Call(asking=asking, read=decisions.DecisionOut.model_validate_json)


def request(members: Mapping[str, Any]) -> decisions.DecisionRequest:
    """Return the request with the members that are not None; Invalid when they are wrong."""
    return _asked(decisions.DecisionRequest, "a decision", members)


def batch(
    asked: Sequence[decisions.DecisionRequest], deadline_ms: int | None, timeout_s: float
) -> Call[decisions.BatchOut]:
    """Ask for up to 1,000 decisions; each has its own key."""
    try:
        whole = decisions.BatchRequest(decisions=list(asked), deadline_ms=deadline_ms)
    except ValidationError as error:
        raise errors.of_invalid("a batch", error) from None
    asking = Asking(
        method="POST",
        path="/v1/decisions:batch",
        headers=JSON,
        content=whole.model_dump_json(exclude_none=True, exclude_defaults=True).encode(),
        timeout_s=timeout_s,
    )
    return Call(asking=asking, read=decisions.BatchOut.model_validate_json)


def send_events(content: bytes) -> Call[events.ArrivalsOut]:
    """Send a JSON array of up to 1,000 CloudEvents; sent again they change nothing."""
    asking = Asking(
        method="POST",
        path="/v1/events",
        headers={"content-type": events.BATCH},
        content=content,
    )
    return Call(asking=asking, read=events.ArrivalsOut.model_validate_json)


def decision(id: str) -> Call[decisions.DecisionOut]:
    """Ask for a decision as it was recorded."""
    return _get(f"/v1/decisions/{_part(id)}", decisions.DecisionOut)


def override(id: str, route: str, reason: str | None) -> Call[overrides.OverriddenOut]:
    """Say what was done instead; said again it adds nothing. Invalid when that is no route."""
    members = {"route": route, "reason": reason}
    asked = _asked(overrides.OverrideRequest, "an override", members)
    return _post(f"/v1/decisions/{_part(id)}/override", asked, overrides.OverriddenOut)


def explanation(id: str, most: int | None) -> Call[explanations.ExplanationOut]:
    """Ask why, down to `most` source rows of each reason."""
    path = f"/v1/decisions/{_part(id)}/explanation"
    return _get(path, explanations.ExplanationOut, most=most)


def replay(id: str) -> Call[decisions.ReplayOut]:
    """Ask for the same decision under the versions of then."""
    return _get(f"/v1/decisions/{_part(id)}/replay", decisions.ReplayOut)


def scores(account: str, target: str | None, limit: int | None) -> Call[accounts.AccountScoresOut]:
    """Ask how the scores of an account went."""
    path = f"/v1/accounts/{_part(account)}/scores"
    return _get(path, accounts.AccountScoresOut, target=target, limit=limit)


def priority(name: str, limit: int, after: str | None) -> Call[accounts.PageOut]:
    """Ask for a page of the accounts to look at first."""
    params = {"order": "priority", "list": name, "limit": limit, "after": after}
    return _get("/v1/accounts", accounts.PageOut, **params)


def models() -> Call[catalogue.ModelsOut]:
    """Ask for the targets that have models."""
    return _get("/v1/models", catalogue.ModelsOut)


def model(target: str) -> Call[catalogue.ModelDetailOut]:
    """Ask for the models of a target."""
    return _get(f"/v1/models/{_part(target)}", catalogue.ModelDetailOut)


def policies() -> Call[catalogue.PoliciesOut]:
    """Ask for the policies."""
    return _get("/v1/policies", catalogue.PoliciesOut)


def policy(name: str) -> Call[catalogue.PolicyDetailOut]:
    """Ask for the versions of a policy."""
    return _get(f"/v1/policies/{_part(name)}", catalogue.PolicyDetailOut)


def flag(name: str, account: str, segment: str | None) -> Call[flags.FlagOut]:
    """Ask for the variant of an account; asked again it adds nothing."""
    path = f"/v1/flags/{_part(name)}"
    return _get(path, flags.FlagOut, account=account, segment=segment)


def all_releases() -> Call[releases.ReleasesOut]:
    """Ask where the release of each target stands."""
    return _get(RELEASES, releases.ReleasesOut)


def release(target: str) -> Call[releases.StandingDetailOut]:
    """Ask where the release of a target stands."""
    return _get(f"{RELEASES}/{_part(target)}", releases.StandingDetailOut)


def release_history(
    target: str, at: datetime | None, limit: int | None
) -> Call[releases.ReleaseHistoryOut]:
    """Ask for the moves of releases of a target, and what was live at a moment."""
    path = f"{RELEASES}/{_part(target)}/history"
    moment = None if at is None else at.isoformat()
    return _get(path, releases.ReleaseHistoryOut, at=moment, limit=limit)


def lead_release(
    target: str, action: str, members: Mapping[str, Any]
) -> Call[releases.StandingDetailOut]:
    """Order a step of a release; sent again it is not carried out twice. Invalid when the members
    are wrong.
    """
    kind = releases.ASKED.get(action)
    if kind is None:
        raise errors.Invalid(
            f"an action must be one of {', '.join(releases.ASKED)}, got '{action}'"
        )
    asked = _asked(kind, "an order", members)
    return _post(f"{RELEASES}/{_part(target)}/{action}", asked, releases.StandingDetailOut)


def simulate(members: Mapping[str, Any]) -> Call[simulations.SimulationOut]:
    """Submit scenarios; the same again joins, or finds, what there is. Invalid when the members
    are wrong.
    """
    asked = _asked(simulations.SimulationRequest, "a simulation", members)
    return _post(SIMULATIONS, asked, simulations.SimulationOut)


def simulation(id: str) -> Call[simulations.SimulationOut]:
    """Ask how far a simulation is."""
    return _get(f"{SIMULATIONS}/{_part(id)}", simulations.SimulationOut)


def all_simulations(limit: int | None) -> Call[simulations.SimulationsOut]:
    """Ask for the newest simulations."""
    return _get(SIMULATIONS, simulations.SimulationsOut, limit=limit)


def simulation_result(id: str) -> Call[simulations.SimulationResultOut]:
    """Ask what came out; Conflict while there is nothing."""
    return _get(f"{SIMULATIONS}/{_part(id)}/result", simulations.SimulationResultOut)


def order_simulation(id: str, order: str) -> Call[simulations.SimulationOut]:
    """Cancel a simulation, or share it; done twice it is done once."""
    asking = Asking(method="POST", path=f"{SIMULATIONS}/{_part(id)}/{order}", headers=JSON)
    return Call(asking=asking, read=simulations.SimulationOut.model_validate_json)


def ready() -> Call[catalogue.ReadyOut]:
    """Ask whether the service answers; never retried, so that it may be polled."""
    asking = Asking(method="GET", path="/readyz", is_retried=False)
    return Call(asking=asking, read=catalogue.ReadyOut.model_validate_json)


def infer(
    model: str, version: str | None, tensors: Sequence[Mapping[str, Any]]
) -> Call[inference.InferOut]:
    """Ask for the scores of rows by the Open Inference Protocol, version 2."""
    asked = _asked(inference.InferRequest, f"rows for '{model}'", {"inputs": list(tensors)})
    at = f"/versions/{_part(version)}" if version else ""
    return _post(f"/v2/models/{_part(model)}{at}/infer", asked, inference.InferOut)


def _asked[M: BaseModel](kind: type[M], what: str, members: Mapping[str, Any]) -> M:
    """Return the request with the members that are not None; Invalid when they are wrong."""
    given = {name: value for name, value in members.items() if value is not None}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise errors.of_invalid(what, error) from None


def _post[M: BaseModel](path: str, asked: BaseModel, answer: type[M]) -> Call[M]:
    content = asked.model_dump_json(exclude_defaults=True).encode()
    asking = Asking(method="POST", path=path, headers=JSON, content=content)
    return Call(asking=asking, read=answer.model_validate_json)


def _get[M: BaseModel](path: str, answer: type[M], **params: object) -> Call[M]:
    given = {name: str(value) for name, value in params.items() if value is not None}
    asking = Asking(method="GET", path=path, params=given)
    return Call(asking=asking, read=answer.model_validate_json)


def _part(id: str) -> str:
    """Return an id as one part of a path; Invalid for one that no path can hold."""
    if not id or id in {".", ".."}:
        raise errors.Invalid(f"an id must name something, got '{id}'")
    return quote(id, safe="")
