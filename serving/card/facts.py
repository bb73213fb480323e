"""What a card shows, taken from a manifest as far as it says it: what is missing is left out.

Metrics are plain JSON that trainings of different age wrote; each part is checked for itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from serving.admission import ubjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.bundle import Manifest
    from serving.model import Feature, Model

SHOWN = 12  # features of a picture
GROUPS = 40  # parts of the rows in a picture

type Chance = Annotated[float, Field(ge=0, le=1)]
type Number = Annotated[float, Field(ge=-1e9, le=1e9)]
type Count = Annotated[int, Field(ge=0, le=10**12)]


class Known(BaseModel):
    """Base of what is read from metrics; what else they hold is not ours to judge."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Interval(Known):
    """A value with its 95 % interval; None where it is not defined."""

    value: Number | None
    low: Number | None
    high: Number | None


class Signal(Known):
    """Is there any?"""

    verdict: str
    sentence: str


class Point(Known):
    """One place of the calibration curve."""

    probability: Chance
    rate: Chance
    rows: Count
    low: Chance
    high: Chance


class Group(Known):
    """A part of the held-out rows."""

    rows: Count
    positives: Count
    auc: Chance | None  # None where too few rows came true, or did not
    gap: Interval  # mean probability less the share that came true


type Groups = Annotated[dict[str, Group], Field(min_length=1, max_length=GROUPS)]


class Evaluation(Known):
    """What the held-out rows said."""

    rows: Count
    positives: Count
    clusters: Count
    scorers: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]] = {}
    signal: Signal
    calibration_curve: tuple[Point, ...] = Field(min_length=1, max_length=1000)
    lift_curve: dict[str, Annotated[tuple[Chance, ...], Field(min_length=1, max_length=1000)]]


class Share(Known):
    """How much one feature matters."""

    label: str
    share: Annotated[float, Field(ge=0, le=1e9)]


class Trade(Known):
    """One trial on the front of a search: no other was both better and cheaper."""

    loss: Number
    cost: Number
    chosen: bool = False


class Facts(BaseModel):
    """Everything a card draws."""

    model_config = ConfigDict(frozen=True)

    evaluation: Evaluation | None
    groups: dict[str, dict[str, Group]]  # by attribute, then by its value
    importance: tuple[Share, ...]
    importance_is: Literal["contribution", "gain"]
    front: tuple[Trade, ...]


def gather(said: Manifest, booster: bytes) -> Facts:
    """Return what is known of a bundle; importance by gain where the training kept no other."""
    metrics = said.provenance.metrics
    evaluation = metrics.get("evaluation")
    more = evaluation if isinstance(evaluation, dict) else {}
    kept: tuple[Share, ...] = _part(tuple[Share, ...], metrics.get("importance"), ())
    search = metrics.get("search")
    front = search.get("front") if isinstance(search, dict) else None
    return Facts(
        evaluation=_part(Evaluation, evaluation, None),
        groups=_part(dict[str, Groups], more.get("groups"), {}),
        importance=_strongest(kept or gains(said.features, booster)),
        importance_is="contribution" if kept else "gain",
        front=_part(tuple[Trade, ...], front, ()),
    )


def contributions(model: Model, matrix: np.ndarray) -> list[dict[str, object]]:
    """Return the mean |contribution| of each feature to the margins of encoded rows (n, f)."""
    means = np.abs(model.contributions(matrix)[:, :-1]).mean(axis=0, dtype=np.float64)
    return [
        {"feature": feature.name, "label": feature.label, "share": float(mean)}
        for feature, mean in zip(model.signature.features, means, strict=True)
    ]


def gains(features: Sequence[Feature], booster: bytes) -> tuple[Share, ...]:
    """Return the share of each feature in what all splits gained; of a booster that was checked."""
    trees = ubjson.read(booster)["learner"]["gradient_booster"]["model"]["trees"]
    total = np.zeros(len(features))
    for tree in trees:
        inner = tree["left_children"] >= 0
        gained = tree["loss_changes"][inner].astype(np.float64)
        np.add.at(total, tree["split_indices"][inner].astype(np.int64), gained)
    shares = total / max(total.sum(), 1e-300)
    return tuple(
        Share(label=feature.label, share=float(share))
        for feature, share in zip(features, shares, strict=True)
    )


def _strongest(shares: tuple[Share, ...]) -> tuple[Share, ...]:
    return tuple(sorted((s for s in shares if s.share > 0), key=lambda s: -s.share)[:SHOWN])


def _part(kind: Any, value: object, missing: Any) -> Any:
    if value is None:
        return missing
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return missing
