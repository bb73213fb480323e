"""Golden rows: nobody's rows, and as exact hexadecimal floats what a model says of them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import StrictInt

from cluster.settings import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from serving.model import Feature, Model

ROWS = 10
RARE = "(other)"  # stands in a golden row for any category that has no code of its own


class Golden(Frozen):
    """A row and what the model says of it; numbers as hexadecimal floats."""

    row: dict[str, str | None]
    margin: str
    probability: str
    points: StrictInt | None = None  # of the rules, where the calibrator weighs them


def golden(scored: Model, matrix: np.ndarray) -> tuple[Golden, ...]:
    """Return encoded rows (n, f) with what a model says of them."""
    features = scored.signature.features
    rows = [
        {f.name: _spelt(f, value) for f, value in zip(features, values, strict=True)}
        for values in matrix.tolist()
    ]
    points = scored.points([_values(features, row) for row in rows])
    scores = scored.score(matrix, points)
    return tuple(
        Golden(row=row, margin=margin.hex(), probability=chance.hex(), points=worth)
        for row, margin, chance, worth in zip(
            rows,
            scores.margin.tolist(),
            scores.probability.tolist(),
            [None] * len(rows) if points is None else points.tolist(),
            strict=True,
        )
    )


def values(features: Sequence[Feature], rows: Iterable[Golden]) -> list[dict[str, object]]:
    """Return golden rows as they would be scored."""
    return [_values(features, each.row) for each in rows]


def mixed(matrix: np.ndarray) -> np.ndarray:
    """Return ROWS rows of which each column is another row's: what is kept for good describes no
    real lead. Of a single row nothing is kept but nulls.
    """
    rows, wide = matrix.shape
    if rows < 2:
        return np.full((ROWS, wide), np.nan, np.float32)
    spread = np.linspace(0, rows, ROWS, endpoint=False).astype(int)
    shift = np.arange(wide) * (rows // ROWS + 1)
    found: np.ndarray = matrix[(spread[:, None] + shift) % rows, np.arange(wide)]
    return found


def _spelt(feature: Feature, value: float) -> str | None:
    if np.isnan(value):
        return None
    if feature.kind == "number":
        return float(value).hex()
    return feature.vocabulary[int(value) - 1] if value else RARE


def _values(features: Sequence[Feature], row: dict[str, str | None]) -> dict[str, object]:
    return {f.name: _value(f, row[f.name]) for f in features}


def _value(feature: Feature, spelt: str | None) -> object:
    return spelt if spelt is None or feature.kind == "category" else float.fromhex(spelt)
