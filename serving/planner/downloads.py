"""What the planner's page gives as files: a result, and the question of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import yaml
from fastapi.responses import Response

from cluster.errors import Refusal
from serving.planner import pages
from serving.planner.desk import refused
from serving.simulations import exported
from serving.simulations.words import NoSimulation

if TYPE_CHECKING:
    from serving.planner.asked import Asked
    from serving.planner.desk import Desk
    from serving.wire.simulations import SimulationRequest


def as_json(made: Desk, asked: Asked, id: str) -> Response:
    """Return what came out, as it was kept."""
    found = made.simulations.result_bytes(id, asked.who)
    if isinstance(found, Refusal):
        return refused(found, _status(found))
    return _file(found, "application/json", f"simulation-{id[:12]}.json")


def as_csv(made: Desk, asked: Asked, id: str) -> Response:
    """Return the bands as CSV."""
    found = made.simulations.result(id, asked.who)
    if isinstance(found, Refusal):
        return refused(found, _status(found))
    return _file(exported.csv(found), "text/csv", f"simulation-{id[:12]}.csv")


def as_parquet(made: Desk, asked: Asked, id: str) -> Response:
    """Return the bands as Parquet."""
    found = made.simulations.result(id, asked.who)
    if isinstance(found, Refusal):
        return refused(found, _status(found))
    content = exported.parquet(found)
    return _file(content, "application/vnd.apache.parquet", f"simulation-{id[:12]}.parquet")


def as_yaml(made: Desk, asked: Asked, id: str) -> Response:
    """Return what was asked, as a file that the job takes."""
    found = made.simulations.asked(id, asked.who)
    if isinstance(found, Refusal):
        return refused(found, _status(found))
    return _file(_yaml(found), "application/yaml", f"comparison-{id[:12]}.yaml")


def _yaml(asked: SimulationRequest) -> bytes:
    """Return the question as a document that `python -m jobs.simulate --comparison` takes."""
    said: dict[str, Any] = asked.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True).encode()


def _file(content: bytes, kind: str, name: str) -> Response:
    safe = "".join(c for c in name if c.isalnum() or c in "-._")
    head = {**pages.HEADERS, "content-disposition": f'attachment; filename="{safe}"'}
    return Response(content, HTTPStatus.OK, head, kind)


def _status(found: Refusal) -> HTTPStatus:
    return HTTPStatus.NOT_FOUND if isinstance(found, NoSimulation) else HTTPStatus.CONFLICT
