"""The explanation of a decision: its reasons, their features, and the source rows behind them.

Everything is made from the record of the decision, from what it names, and from the events that it
saw. What of that is gone is said, and the rest is told all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from cluster.blobs import BlobMissing
from cluster.errors import Refusal
from features import compute, spine
from features.ingest import origin
from serving import evidence, ruled, rules
from serving.decide import TOP_REASONS, Basis
from serving.explain import Reason
from serving.reading.kept import Kept

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.online.history import History
    from features.views import View
    from serving.model import Model
    from serving.slots.slot import Slot

MOST = 1_000  # events that may be asked for of one reason
FILES = 4_096  # origins that are kept
SHOWN = ("event_id", "kind", "name", "event_time", "known_at", "source", "row_key", "source_row",
         "ingest", "number", "text")  # fmt: skip

NAMED = ("lead", "opportunity")  # of an event; whose row it is

type Body = Mapping[str, Any]  # of a decision's record
type Found = tuple[int, tuple[Mapping[str, Any], ...]]  # events behind a reason: how many, and rows


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What somebody may see of what is behind a decision."""

    opens: Callable[[str], bool]  # is the value of a feature to be told?
    shows: Callable[[str, str], bool]  # is an entity, by kind and key, to be shown?

    def of(self, found: Found) -> Found:
        """Return the events behind a reason without the rows of those who are not shown."""
        return found[0], tuple(row for row in found[1] if self._is_shown(row))

    def _is_shown(self, row: Mapping[str, Any]) -> bool:
        return all(self.shows(kind, row[kind]) for kind in NAMED if row[kind] is not None)


EVERYTHING = Sight(opens=lambda _: True, shows=lambda *_: True)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where what a decision was made from is had again; a Refusal says what is gone."""

    slot: Callable[[Basis], Slot | Refusal]  # model and view
    history: Callable[[Body], History | Refusal]  # the events that a decision saw
    file: Callable[[str], str | None]  # of the `ingest` of an event


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one feature of a reason did."""

    name: str
    label: str
    value: object
    contribution: float | None  # to the margin; None of rules, and where the model is gone


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A reason with its features, and the newest of the events that they were computed from."""

    reason: Reason
    features: tuple[Share, ...]
    count: int  # of all the events
    rows: tuple[Mapping[str, Any], ...]  # SHOWN, without `ingest` and with `file`


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a decision has its score."""

    id: str
    entity: str
    score: float
    base: float | None  # the calibrated probability before any reason; None if the model is gone
    reasons: tuple[Explained, ...]  # strongest first
    # of every feature to the margin, and of the base under "": they add up to the margin; empty
    # where the fallback answered, or the model is gone
    contributions: Mapping[str, float]
    gone: tuple[str, ...]  # sentences: what could not be had again


@dataclass(frozen=True, kw_only=True)
class _Shares:
    """What a model says of the features of one decision."""

    contributions: Mapping[str, float]
    labels: Mapping[str, str]
    base: float | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True)
class _Behind:
    """The events that a decision saw, and how its features look at them."""

    view: View
    events: pa.Table
    row: pa.Table  # entity, account and time

    @classmethod
    def of(cls, body: Body, view: View, history: History) -> Self:
        """Look at a history as a decision did."""
        told = {name: [body[name]] for name in ("entity", "account")}
        time = [datetime.fromisoformat(body["time"])]
        row = pa.table({**told, "time": time}, schema=spine.SCORING)
        return cls(view=view, events=history.table(), row=row)


def explain(
    body: Body, sources: Sources, *, most: int = evidence.MOST, sight: Sight = EVERYTHING
) -> Explanation:
    """Return the explanation of a decision from its record, with at most `most` events a reason;
    `sight` says whose rows are left out, and which values no sentence may tell.
    """
    slot = sources.slot(Basis(**body["basis"]))
    history = sources.history(body)
    gone = [str(each) for each in (slot, history) if isinstance(each, Refusal)]
    shares, behind = _as_told(body), None
    if not isinstance(slot, Refusal):
        shares = _shares(body, slot.model)
        if not isinstance(history, Refusal):
            behind = _Behind.of(body, slot.program.view, history)
            gone += _differing(body, shares.reasons, behind, sight.opens)
    return Explanation(
        id=body["id"],
        entity=body["entity"],
        score=body["probability"],
        base=shares.base,
        reasons=tuple(
            _explained(body, reason, shares, sight.of(_evidence(reason, behind, sources, most)))
            for reason in shares.reasons
        ),
        contributions=shares.contributions,
        gone=tuple(gone),
    )


def files(workspace: Workspace) -> Callable[[str], str | None]:
    """Return what tells the file of the `ingest` of an event; None for one that names none."""
    kept: Kept[str, str | None] = Kept(FILES)

    def read(name: str) -> str | None:
        try:
            return origin.read(workspace.blobs, name).file
        except BlobMissing:
            return None

    return lambda name: kept.get(name, lambda: read(name)) if name else None


def _shares(body: Body, model: Model) -> _Shares:
    """Return the reasons as recorded, or made again where they were not asked for."""
    made = (_by_model if body["fallback"] is None else _by_rules)(model, body)
    return made if body["reasons"] is None else replace(made, reasons=_as_told(body).reasons)


def _as_told(body: Body) -> _Shares:
    reasons = tuple(_reason(each) for each in body["reasons"] or ())
    return _Shares(contributions={}, labels={}, base=None, reasons=reasons)


def _by_model(model: Model, body: Body) -> _Shares:
    record = [body["features"]]
    values = model.contributions(model.encode(record))[0]
    names = [*(feature.name for feature in model.signature.features), ""]
    return _Shares(
        contributions=dict(zip(names, values.tolist(), strict=True)),
        labels=_labels(model),
        base=_base(model),
        reasons=model.reasons(record, top=TOP_REASONS)[0],
    )


def _by_rules(model: Model, body: Body) -> _Shares:
    """Return what the fallback says: the rules, on the mean margin of the model."""
    known = body["features"]
    margin = np.array([[model.explainer.base]])
    usable = rules.among(model.rules, known)
    why = ruled.reasons(usable, [known], margin, model.calibrator)[0]
    found = (why,) if why else ()
    return _Shares(contributions={}, labels=_labels(model), base=_base(model), reasons=found)


def _labels(model: Model) -> dict[str, str]:
    return {feature.name: feature.label for feature in model.signature.features}


def _base(model: Model) -> float:
    margin = np.array([model.explainer.base])
    return float(model.calibrator.probability(margin, np.zeros(1, np.int64))[0])


def _evidence(reason: Reason, behind: _Behind | None, sources: Sources, most: int) -> Found:
    if behind is None:
        return 0, ()
    there = replace(reason, features=_of_view(reason, behind.view))
    found = evidence.evidence(there, behind.view, behind.events, behind.row, most=most)
    rows = found.events.select([*SHOWN, *NAMED]).to_pylist()
    return found.count, tuple(_row(row, sources.file) for row in rows)


def _explained(body: Body, reason: Reason, shares: _Shares, found: Found) -> Explained:
    is_by_model = reason.group != ruled.GROUP
    return Explained(
        reason=reason,
        features=tuple(
            Share(
                name=name,
                label=shares.labels.get(name, name),
                value=body["features"].get(name),
                contribution=shares.contributions.get(name) if is_by_model else None,
            )
            for name in reason.features
        ),
        count=found[0],
        rows=tuple({n: v for n, v in row.items() if n not in NAMED} for row in found[1]),
    )


def _differing(
    body: Body, reasons: tuple[Reason, ...], behind: _Behind, opens: Callable[[str], bool]
) -> list[str]:
    """Return what the events do not give as it was decided upon: they are not those of then."""
    named = {name for reason in reasons for name in _of_view(reason, behind.view)}
    kept = tuple(f for f in behind.view.features if f.name in named)
    again = compute.compute(replace(behind.view, features=kept), behind.events, behind.row)
    (now,) = again.select([f.name for f in kept]).to_pylist()
    then = {name: body["features"].get(name) for name in now}
    return [
        f"the events there are now must give '{name}' as it was decided upon, got"
        f" {_other(now[name], then[name]) if opens(name) else 'another value'}: the source rows may"
        " be others"
        for name in now
        if now[name] != then[name]
    ]


def _other(now: object, then: object) -> str:
    return f"{now!r} where it was {then!r}"


def _of_view(reason: Reason, view: View) -> tuple[str, ...]:
    """Return the features of a reason that the view computes; those of old records are unnamed."""
    named = reason.features or (reason.feature,)
    return tuple(name for name in named if name in view.columns)


def _row(row: dict[str, Any], file: Callable[[str], str | None]) -> Mapping[str, Any]:
    ingest = row.pop("ingest")
    return {**row, "event_id": row["event_id"].hex(), "file": file(ingest)}


def _reason(said: Mapping[str, Any]) -> Reason:
    return Reason(**{**said, "features": tuple(said.get("features", ()))})
