"""Bodies of requests that are read by hand, so that no name may stand twice in them. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ValidationError

from cluster import strictjson
from serving.wire.problems import Problem


def read[T: BaseModel](kind: type[T], body: bytes) -> T | Problem:
    """Return a request, or what is wrong with it."""
    try:
        strictjson.loads(body)
        return kind.model_validate_json(body)
    except ValidationError as error:
        return Problem.broken(error)
    except strictjson.NotStrict as error:
        return Problem.of(HTTPStatus.UNPROCESSABLE_ENTITY, f"body: {error}")
    except (ValueError, RecursionError):
        rule = "the body must be JSON in UTF-8, got something else: see /docs"
        return Problem.of(HTTPStatus.UNPROCESSABLE_ENTITY, rule)


def described(kind: type[BaseModel]) -> dict[str, Any]:
    """Return what OpenAPI says of such a body."""
    schema = {"schema": kind.model_json_schema()}
    return {"requestBody": {"required": True, "content": {"application/json": schema}}}
