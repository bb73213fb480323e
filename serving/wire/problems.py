"""Errors in the form of RFC 9457, and how a broken request becomes one."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict, Field

from serving.wire.base import Answered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import ValidationError

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 20  # that one problem names
MOST_LISTED = 100  # broken rules that are looked at one by one
_LONGEST_PART = 60  # letters of a member's name: an unknown one is the caller's


class Broken(Answered):
    """A rule that a request breaks, and where."""

    place: str = Field(description="The member, its parts joined by points; `body` for all of it.")
    rule: str


class Problem(Answered):
    """An error in the form of RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "the lead must be in the event log, got 'lead-1': ingest its events",
                }
            ]
        }
    )
    type: str = Field(default="about:blank", description="A URI that names the kind of error.")
    title: str = Field(description="The status in words.")
    status: int = Field(ge=400, le=599, description="The HTTP status.")
    detail: str = Field(description="What rule was broken, the value found, and what to do.")
    errors: list[Broken] | None = Field(
        default=None,
        description=f"Of a request that breaks several rules, the first {MOST_ERRORS}.",
    )

    @classmethod
    def of(cls, status: int, detail: str, errors: Sequence[Broken] | None = None) -> Self:
        """Return the problem of a status (400..599)."""
        found = list(errors) if errors else None
        return cls(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=found)

    @classmethod
    def invalid(cls, errors: Sequence[Mapping[str, Any]], *, skip: int = 0) -> Self:
        """Return the 422 of what pydantic found (`ValidationError.errors()`).

        No value is repeated, it may be a name or an address. `skip` parts of every place are left
        out: FastAPI puts `body` first.
        """
        broken = [_broken(each, skip) for each in errors[:MOST_ERRORS]]
        detail = "; ".join(f"{each.place}: {each.rule}" for each in broken[:3])
        more = len(errors) - 3
        detail += f"; and {more} more" if more > 0 else ""
        return cls.of(HTTPStatus.UNPROCESSABLE_ENTITY, detail, broken if len(errors) > 1 else None)

    @classmethod
    def broken(cls, error: ValidationError) -> Self:
        """Return the 422 of a request that pydantic refused; very many rules are only counted."""
        if (count := error.error_count()) > MOST_LISTED:
            rule = f"a request must keep its rules, got {count} that are broken: see /docs"
            return cls.of(HTTPStatus.UNPROCESSABLE_ENTITY, rule)
        return cls.invalid(error.errors(include_url=False, include_input=False))

    def to_bytes(self) -> bytes:
        """Return it as JSON; `errors` only where there are several."""
        return self.model_dump_json(exclude_none=True).encode()


def _broken(error: Mapping[str, Any], skip: int) -> Broken:
    parts = [str(part)[:_LONGEST_PART] for part in error["loc"][skip:]]
    rule = error["msg"].removeprefix("Value error, ")
    return Broken(place=".".join(parts) or "body", rule=rule)
