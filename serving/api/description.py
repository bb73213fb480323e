"""The description of the API (OpenAPI): what holds for every route is said in one place.

Whom a route asks for comes from what it declares, so the description cannot promise less.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from serving.access.declared import ANYBODY, Declared
from serving.api.answers import INFERENCE
from serving.api.bounds import BODILESS
from serving.wire.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from fastapi import FastAPI

_SCHEME = "credential"
_SECURITY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key (`python -m jobs.access issue`), or a token of a known issuer.",
}
_ALWAYS = (403, 414, 429, 431, 500, 503)
_KNOWN = (401,)
_BODY = (400, 408, 413, 415, 422)
_RETRY: dict[str, Any] = {
    "Retry-After": {
        "description": "Seconds until asking again may help.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_AGAIN = (429, 503)


def describe(api: FastAPI) -> None:
    """Let an application describe itself with what its front does for every route."""
    made = api.openapi
    needs = {(m, path): need for m, path, need in Declared(api.routes).table()}

    def described() -> dict[str, Any]:
        if api.openapi_schema is None:
            found = made()
            found["components"].setdefault("securitySchemes", {})[_SCHEME] = _SECURITY
            for path, operations in found["paths"].items():
                for method, operation in operations.items():
                    _complete(operation, path, method.upper(), _need(needs, method, path))
        assert api.openapi_schema is not None
        return api.openapi_schema

    api.openapi = described  # type: ignore[method-assign]


def _need(needs: dict[tuple[str, str], str], method: str, path: str) -> str:
    """Return what an operation needs; the description writes `{id:path}` as `{id}`."""
    said = {(m.lower(), p.replace(":path}", "}")): need for (m, p), need in needs.items()}
    return said.get((method, path), "what nobody has")


def _complete(operation: dict[str, Any], path: str, method: str, need: str) -> None:
    is_open = need == repr(ANYBODY)
    operation["security"] = [] if is_open else [{_SCHEME: []}]
    if not is_open:
        operation["description"] = f"{operation.get('description', '')}\n\nNeeds `{need}`.".strip()
    statuses = _ALWAYS + (() if is_open else _KNOWN) + (() if method in BODILESS else _BODY)
    for status in sorted(statuses):
        known = operation["responses"].setdefault(str(status), _refused(status, path))
        if status in _AGAIN:
            known.setdefault("headers", _RETRY)


def _refused(status: int, path: str) -> dict[str, Any]:
    is_own = path.startswith(INFERENCE)
    name = "InferErrorOut" if is_own else "Problem"
    content = {"schema": {"$ref": f"#/components/schemas/{name}"}}
    kind = "application/json" if is_own else MEDIA_TYPE
    return {"description": HTTPStatus(status).phrase, "content": {kind: content}}
