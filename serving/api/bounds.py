"""What a request may be, route by route: how large, of which type, how deep. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from serving.api.answers import CLOSE, INFERENCE, Refused
from serving.api.nesting import nesting, small
from serving.wire import events

if TYPE_CHECKING:
    from starlette.types import Scope

    from cluster.settings import LimitSettings

PLANNER = "/planner/"  # forms
ONE, MANY, EVENTS = "/v1/decisions", "/v1/decisions:batch", "/v1/events"
RECORDED, RELEASES, SIMULATIONS = "/v1/decisions/", "/v1/releases", "/v1/simulations"
BELOW = (INFERENCE, RELEASES, RECORDED, SIMULATIONS, PLANNER)  # of all paths that begin so
BODILESS = {"GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "CONNECT"}  # what comes is not read
HEAD_LENGTH = b"inference-header-content-length"  # bytes of JSON, where others follow it
_JSON = frozenset({b"application/json"})
_PLAIN = (b"", b"identity")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Of one route."""

    most: int  # bytes
    values: int
    kinds: frozenset[bytes] = _JSON  # empty: any
    needs_kind: bool = False  # without a type it is taken for the first
    broken: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY  # when its JSON is too deep


def table(limits: LimitSettings) -> dict[str, Bounds]:
    """Return the bounds of the routes that take a body, by path; `""` of all others, and of
    all that is no POST."""
    sent = frozenset({events.ONE.encode(), events.BATCH.encode()})
    return {
        ONE: Bounds(most=limits.decision_bytes, values=limits.decision_values),
        MANY: Bounds(most=limits.batch_bytes, values=limits.values),
        EVENTS: Bounds(
            most=limits.events_bytes, values=limits.values, kinds=sent, needs_kind=True,
            broken=HTTPStatus.BAD_REQUEST,
        ),
        INFERENCE: Bounds(
            most=limits.inference_bytes, values=limits.inference_values,
            kinds=_JSON | {b"application/octet-stream"}, broken=HTTPStatus.BAD_REQUEST,
        ),
        RELEASES: Bounds(most=limits.other_bytes, values=limits.decision_values),
        SIMULATIONS: Bounds(most=limits.decision_bytes, values=limits.decision_values),
        RECORDED: Bounds(most=limits.other_bytes, values=limits.decision_values),
        PLANNER: Bounds(
            most=limits.decision_bytes, values=limits.values,
            kinds=frozenset({b"application/x-www-form-urlencoded"}),
        ),
        "": Bounds(most=limits.other_bytes, values=limits.values, kinds=frozenset()),
    }  # fmt: skip


def wrong_head(scope: Scope, limits: LimitSettings) -> Refused | None:
    """Return why the line and the headers of a request are too much; None if they are not."""
    url = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
    if url > limits.url_bytes:
        rule = f"a URL must have at most {limits.url_bytes} bytes, got {url}: shorten it"
        return Refused.of(HTTPStatus.REQUEST_URI_TOO_LONG, rule, CLOSE)
    headers = scope["headers"]
    size = sum([len(name) + len(value) for name, value in headers])
    if len(headers) > limits.headers or size > limits.header_bytes:
        rule = (
            f"a request must have at most {limits.headers} headers of {limits.header_bytes} bytes"
            f" in all, got {len(headers)} of {size}: leave some out"
        )
        return Refused.of(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, rule, CLOSE)
    return None


def wrong_body(scope: Scope, bounds: Bounds) -> Refused | None:
    """Return why a body must not be read, by what the headers say of it."""
    kinds = 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            kinds += 1
            if kinds > 1 or (
                bounds.kinds and value.partition(b";")[0].strip().lower() not in bounds.kinds
            ):
                return _wrong_kind(bounds, value if kinds == 1 else b"two of them")
        elif name == b"content-encoding" and value.strip().lower() not in _PLAIN:
            rule = "a body must be sent as it is, got one that is encoded: leave that out"
            plain = (b"accept-encoding", b"identity")
            return Refused.of(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, rule, plain, CLOSE)
        elif name == b"content-length" and _is_more(value, bounds.most):
            return too_large(bounds)
    return _wrong_kind(bounds, b"") if bounds.needs_kind and not kinds else None


def too_large(bounds: Bounds) -> Refused:
    """Return the refusal of a body that has too many bytes."""
    rule = f"a request must hold at most {bounds.most} bytes: send it in several"
    return Refused.of(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, rule, CLOSE)


def is_small(body: bytes, bounds: Bounds, depth: int) -> bool:
    """Is its JSON surely no deeper and no larger than may be?"""
    return small(body, depth, bounds.values)


def wrong_shape(body: bytes, bounds: Bounds, depth: int) -> Refused | None:
    """Return why a JSON text is not parsed at all."""
    found = nesting(body)
    if found.depth > depth:
        rule = f"JSON must be at most {depth} brackets deep, got {found.depth}"
        return Refused.of(bounds.broken, f"{rule}: send it flat")
    if found.values > bounds.values:
        rule = f"a request must hold at most {bounds.values} values, got about {found.values}"
        return Refused.of(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{rule}: send it in several")
    return None


def json_of(scope: Scope, body: bytes) -> bytes:
    """Return that part of a body that is JSON: all of it, but where bytes of tensors follow."""
    said = next((value for name, value in scope["headers"] if name == HEAD_LENGTH), b"")
    return body[: int(said)] if said.isdigit() and len(said) < 12 else body


def _is_of(kind: bytes, kinds: frozenset[bytes]) -> bool:
    return not kinds or kind.partition(b";")[0].strip().lower() in kinds


def _is_more(length: bytes, most: int) -> bool:
    return length.isdigit() and (len(length) > 15 or int(length) > most)


def _wrong_kind(bounds: Bounds, got: bytes) -> Refused:
    known = " or ".join(sorted(kind.decode() for kind in bounds.kinds))
    shown = got[:80].decode("latin-1")
    detail = f"the content type must be {known}, got '{shown}': say what it is"
    return Refused.of(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, CLOSE)
