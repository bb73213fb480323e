"""Bodies of requests that are read by hand, so that no name may stand twice in them. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from cluster import strictjson
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    schema = kind.model_json_schema()
    inner = schema.pop("$defs", {})
    content = {"application/json": {"schema": _inlined(schema, inner)}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(part: Any, inner: Mapping[str, Any]) -> Any:
    """Return a schema with what it refers to in its place: OpenAPI looks elsewhere for `$defs`."""
    if isinstance(part, list):
        return [_inlined(each, inner) for each in part]
    if not isinstance(part, dict):
        return part
    name = str(part.get("$ref", "")).removeprefix("#/$defs/")
    if name in inner:
        return _inlined(inner[name], inner)
    return {key: _inlined(value, inner) for key, value in part.items()}
