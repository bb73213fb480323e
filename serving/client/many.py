"""Decisions for a DataFrame: one row in, one row out, page by page.

When the service cannot be asked any more, what it answered so far is kept: the frame comes back
whole, with the key of each row, so that asking again decides nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from serving.client import calls, errors, frames
from serving.client.flow import Wait
from serving.client.retries import PASSING
from serving.wire.decisions import KINDS, MOST_DECISIONS, BatchItemOut, DecisionRequest
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from serving.client.flow import Flow, Terms
    from serving.wire.decisions import DecisionOut

PAGE_TIMEOUT_S = 60.0
_MEMBERS = tuple(DecisionRequest.model_fields)
_NUMBERS = ("score", "low", "high", "propensity")
_TIMES = ("as_of", "decided_at")
_OBJECTS = ("reasons", "trace")  # lists
COLUMNS = (
    "status", "id", "entity", "account", "as_of", "score", "low", "high", "confidence", "route",
    "route_reason", "reasons", "trace", "target", "model", "policy", "decided_at", "fallback",
    "explored", "propensity", "problem", "idempotency_key",
)  # fmt: skip

type Asked = Sequence[DecisionRequest | BatchItemOut]
type Progress = Callable[[int, int], None]  # rows that are answered, rows of the frame


@dataclass(frozen=True, kw_only=True)
class Many:
    """How the decisions of a frame are asked for."""

    common: Mapping[str, Any]  # members of every request, where a row does not say otherwise
    deadline_ms: int | None  # of a page
    page: int
    progress: Progress | None

    def flow(self, frame: pd.DataFrame, terms: Terms) -> Flow[pd.DataFrame]:
        """Return one row of COLUMNS per row of the frame, with its index.

        After a page for which the service cannot be asked no other is sent: 503 for its open rows,
        with the reason, and for those that follow.
        """
        frames.require_columns(frame, _MEMBERS, one_of=KINDS)
        if not 1 <= self.page <= MOST_DECISIONS:
            raise errors.Invalid(f"a page must hold 1..{MOST_DECISIONS} rows, got {self.page}")
        asked = [self._asked(row) for row in frames.rows(frame)]
        answers: list[BatchItemOut] = []
        for start in range(0, len(asked), self.page):
            part = asked[start : start + self.page]
            found, is_there = yield from self._page(part, terms)
            answers += found
            if not is_there:
                answers += _unasked(asked[len(answers) :])
                break
            if self.progress:
                self.progress(len(answers), len(asked))
        return table(answers, frame.index, [_key(each) for each in asked])

    def _asked(self, row: Mapping[str, Any]) -> DecisionRequest | BatchItemOut:
        """Return the request of a row with a key of its own; its answer when it is none."""
        members = {**self.common, "idempotency_key": calls.new_key(), **row}
        try:
            return calls.request(members)
        except errors.Invalid as wrong:
            return BatchItemOut(status=422, problem=wrong.document)

    def _page(self, asked: Asked, terms: Terms) -> Flow[tuple[list[BatchItemOut], bool]]:
        """Answer the rows of a page; those that may pass are asked again under the same keys.

        The second value is False when the service could not be asked.
        """
        answers = _unasked(asked)
        open = [place for place, each in enumerate(asked) if isinstance(each, DecisionRequest)]
        end, retry = terms.clock() + PAGE_TIMEOUT_S, 0
        while open:
            left_s = end - terms.clock()
            requests = [each for p in open if isinstance(each := asked[p], DecisionRequest)]
            try:
                found = yield calls.batch(requests, self.deadline_ms, left_s)
            except (errors.Overloaded, errors.Unavailable) as error:
                return _because(error, answers, set(open)), False
            if len(found.decisions) != len(open):
                raise errors.BadAnswer(_number(len(open), len(found.decisions)))
            for place, answer in zip(open, found.decisions, strict=True):
                answers[place] = answer
            open = [place for place in open if answers[place].status in PASSING]
            retry += 1
            wait_s = terms.pace.wait_s(retry, left_s=end - terms.clock()) if open else None
            if wait_s is None:
                break
            yield Wait(seconds=wait_s)
        return answers, True


_UNASKED = BatchItemOut(status=503, problem=Problem.of(503, "was not asked"))


def _unasked(asked: Asked) -> list[BatchItemOut]:
    """Return what stands for rows before they are asked: a wrong one is answered."""
    return [each if isinstance(each, BatchItemOut) else _UNASKED for each in asked]


def _because(
    error: errors.Problem, answers: Sequence[BatchItemOut], open: Collection[int]
) -> list[BatchItemOut]:
    """Return answers with the reason why there is none at the places that are open."""
    why = BatchItemOut(status=503, problem=Problem.of(503, str(error)))
    return [why if place in open else each for place, each in enumerate(answers)]


def _key(asked: DecisionRequest | BatchItemOut) -> str | None:
    """Return the key of a request; a row that is none needs none."""
    return asked.idempotency_key if isinstance(asked, DecisionRequest) else None


def table(
    answers: Sequence[BatchItemOut], index: pd.Index, keys: Sequence[str | None]
) -> pd.DataFrame:
    """Return answers as rows of COLUMNS: times in UTC, what a row has not is missing."""
    rows = [{**_row(each), "idempotency_key": key} for each, key in zip(answers, keys, strict=True)]
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    return pd.DataFrame({name: _column(name, columns[name]) for name in COLUMNS}).set_index(index)


def _row(item: BatchItemOut) -> dict[str, Any]:
    problem = item.problem.detail if item.problem else None
    made = _made(item.decision) if item.decision else {}
    return {"status": item.status, "problem": problem, **made}


def _made(decision: DecisionOut) -> dict[str, Any]:
    told = decision.model_dump(
        exclude={"interval", "basis", "fallback", "release", "exploration", "overridden"},
    )
    low, high = decision.interval
    basis, fallback, drawn = decision.basis, decision.fallback, decision.exploration
    return {
        **told,
        "low": low,
        "high": high,
        "target": basis.target,
        "model": basis.model,
        "policy": basis.policy,
        "fallback": fallback.cause if fallback else None,
        "explored": drawn.explored if drawn else None,
        "propensity": drawn.propensity if drawn else None,
    }


def _column(name: str, values: list[Any]) -> Any:
    if name == "status":
        return pd.array(values, dtype="int64")
    if name in _NUMBERS:
        return pd.array([float("nan") if v is None else v for v in values], dtype="float64")
    if name in _TIMES:
        return pd.to_datetime(pd.Series(values, dtype=object), utc=True).astype(frames.UTC).array
    if name == "explored":
        return pd.array(values, dtype="boolean")
    return pd.Series(values, dtype=object if name in _OBJECTS else "str").array


def _number(asked: int, got: int) -> str:
    return f"POST /v1/decisions:batch: there must be {asked} answers, got {got}"
