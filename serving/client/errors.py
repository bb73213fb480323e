"""What may be raised, and how an answer becomes it.

    ClientError
        Problem             the service said no, or nothing; `document` is what it said (RFC 9457)
            Invalid         400, 405, 413, 415, 422: correct the request
            NotFound        404
            Gone            410: what it was made from is kept no more
            Conflict        409: the key is of another request, or another moved the release
            Overloaded      429: come back later
            Unavailable     500 and above, or no answer at all
        Unfinished          a simulation failed, or was cancelled
        BadAnswer           an answer that the API does not give: is this the service?

The text is one line: what was asked, the status, rule and value, and how often it was tried.
"""

from __future__ import annotations

import math
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic import ValidationError

from serving.wire import problems

if TYPE_CHECKING:
    from serving.client.flow import Answer, Asking

_LONGEST_TEXT = 300  # letters of an answer that is no problem document


class ClientError(Exception):
    """Anything that the client raises."""


class Problem(ClientError):
    """The service refused, or did not answer."""

    def __init__(
        self,
        text: str,
        *,
        document: problems.Problem | None = None,
        retry_after_s: float | None = None,
        attempts: int = 0,
    ) -> None:
        tried = f" (tried {attempts} times)" if attempts > 1 else ""
        super().__init__(" ".join(text.split()) + tried)
        self.document = document  # None: there was no answer
        self.retry_after_s = retry_after_s  # how long the service asked to wait
        self.attempts = attempts  # 0: it was never sent

    @property
    def status(self) -> int | None:
        """The HTTP status; None when there was no answer."""
        return self.document.status if self.document else None


class Invalid(Problem):
    """The request breaks a rule; sent again it would break it again."""


class NotFound(Problem):
    """There is nothing of this id."""


class Gone(Problem):
    """What the answer would be made from is kept no more."""


class Conflict(Problem):
    """The idempotency key was used for another request, or another moved the release."""


class Overloaded(Problem):
    """The service has more to do than it can."""


class Unavailable(Problem):
    """The service failed, is not ready, or cannot be reached."""


class Unfinished(ClientError):
    """A simulation that has no result, and will have none."""


class BadAnswer(ClientError):
    """An answer that the API does not give."""


_KINDS: dict[int, type[Problem]] = {
    **dict.fromkeys((400, 405, 413, 415, 422), Invalid),
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: Overloaded,
}


def of_answer(asking: Asking, answer: Answer, attempts: int, now: datetime) -> Problem:
    """Return what an answer that is no success says."""
    document = _document(answer)
    found = Unavailable if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else Problem
    kind = _KINDS.get(answer.status, found)
    said = f"{asking}: {answer.status} {document.title}: {document.detail}"
    after = retry_after(answer.headers.get("retry-after"), now)
    return kind(said, document=document, retry_after_s=after, attempts=attempts)


def of_failure(asking: Asking, failure: Exception, attempts: int) -> Unavailable:
    """Return what it means that there was no answer."""
    why = f"{type(failure).__name__} {failure}".strip()
    return Unavailable(f"{asking}: the service must answer, got {why}", attempts=attempts)


def of_invalid(what: str, error: ValidationError) -> Invalid:
    """Return what is wrong with a request that was not sent."""
    document = problems.Problem.invalid(error.errors(include_url=False, include_input=False))
    return Invalid(f"{what}: {document.detail}", document=document)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or a date of RFC 9110.

    >>> from datetime import UTC
    >>> retry_after("Sun, 01 Feb 2026 09:30:30 GMT", datetime(2026, 2, 1, 9, 30, tzinfo=UTC))
    30.0
    """
    try:
        seconds = float(header or "")
    except ValueError:
        return _until(header or "", now)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _until(date: str, now: datetime) -> float | None:
    try:
        return max(0.0, (parsedate_to_datetime(date) - now).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a zone
        return None


def _document(answer: Answer) -> problems.Problem:
    """Return the problem document of an answer, or one made of what a proxy said."""
    try:
        return problems.Problem.model_validate_json(answer.content)
    except ValidationError:
        said = " ".join(answer.content.decode(errors="replace").split())[:_LONGEST_TEXT]
    try:
        title = HTTPStatus(answer.status).phrase
    except ValueError:
        title = "Unknown"
    # a redirect is no error by its status, but nothing that the API gives
    status = max(answer.status, HTTPStatus.BAD_REQUEST)
    return problems.Problem.model_construct(
        type="about:blank", title=title, status=status, detail=said or "no explanation", errors=None
    )
