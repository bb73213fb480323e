"""The panel: every outcome of every row that is told of, with what models expect of it.

Beside the declared outcomes, those of a funnel are each way to leave the stage: whether within a
horizon, by how many days sooner, and events and days at risk while the action counts, of which
rates are made. The latter need no weights for what is not known: who was followed for less has
fewer days at risk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from serving.effects import measured, nuisances, scores
from serving.effects.definition import CAUSES
from serving.effects.measured import Measured
from serving.effects.nuisances import Asked

if TYPE_CHECKING:
    from serving.effects.definition import Definition
    from serving.effects.evidence import Basis
    from serving.effects.nuisances import Run
    from serving.effects.rows import Rows
    from serving.effects.staying import Staying

type Kind = Literal["happens", "sum", "gained", "events", "exposure"]


class Column(NamedTuple):
    """One outcome."""

    name: str
    kind: Kind
    horizon: float  # days
    unit: str
    of: Measured


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """The outcomes of the rows of a basis, with scores of every arm."""

    basis: Basis
    columns: tuple[Column, ...]
    expected: np.ndarray  # (n, arms, p)
    scores: np.ndarray  # (n, arms, p)
    fold: np.ndarray  # (n,)
    asked: Asked

    def place(self, name: str, kind: Kind, horizon: float | None = None) -> int:
        """Return the number of a column; ValueError where there is none."""
        for number, each in enumerate(self.columns):
            if each.name == name and each.kind == kind and horizon in {None, each.horizon}:
                return number
        raise ValueError(f"no column {name} {kind} {horizon}")

    @property
    def main(self) -> int:
        """The column that is spoken of first: going forward, or the first outcome, within the
        longest horizon.
        """
        first = self.columns[0]
        name = "forward" if any(c.name == "forward" for c in self.columns) else first.name
        kinds = ("happens", "sum")
        return max(
            (n for n, c in enumerate(self.columns) if c.name == name and c.kind in kinds),
            key=lambda number: self.columns[number].horizon,
        )


def followed(definition: Definition, rows: Rows) -> list[float]:
    """Return the horizons that enough rows of each arm were followed for."""
    given = definition.horizons_days
    return [h for h in given if measured.is_followed(rows.followed, rows.arm, h)]


def columns(
    definition: Definition, rows: Rows, staying: Staying | None = None
) -> tuple[list[Column], list[float]]:
    """Return the outcomes of rows, and the horizons that too few were followed for."""
    told: list[Column] = []
    there = followed(definition, rows)
    for h in there:
        told += [*_declared(definition, rows, h, staying), *_causes(rows, h, staying)]
    missed = [h for h in definition.horizons_days if h not in there]
    if rows.causes:
        told += _rates(rows, definition.lasts_days)
    return told, missed


def _declared(
    definition: Definition, rows: Rows, h: float, staying: Staying | None
) -> list[Column]:
    found = []
    for outcome in definition.outcomes:
        events = rows.outcomes[outcome.name]
        if outcome.measure == "sum":
            never = np.full(len(rows), np.inf)
            weight = measured.weights(never, rows.followed, rows.arm, h, staying)
            total = events.total(len(rows), rows.since, h) / outcome.scale
            of = Measured(np.where(weight > 0, total, 0.0), weight)
            found.append(Column(outcome.name, "sum", h, outcome.unit, of))
            continue
        first = events.first(len(rows), rows.since)
        weight = measured.weights(first, rows.followed, rows.arm, h, staying)
        of = measured.happened(first, weight, h)
        found.append(Column(outcome.name, "happens", h, "", of))
    return found


def _causes(rows: Rows, h: float, staying: Staying | None) -> list[Column]:
    if not rows.causes:
        return []
    settled = np.min([rows.causes[name] for name in CAUSES], axis=0)
    weight = measured.weights(settled, rows.followed, rows.arm, h, staying)
    found = []
    for name in CAUSES:
        happens = measured.happened(rows.causes[name], weight, h)
        found.append(Column(name, "happens", h, "", happens))
    gained = measured.gained(rows.causes["forward"], weight, h)
    return [*found, Column("forward", "gained", h, "days", gained)]


def _rates(rows: Rows, lasts: float) -> list[Column]:
    """Return events by cause and days at risk, while the action counts and as far as followed."""
    until = np.minimum(rows.followed, lasts)
    settled = np.min([rows.causes[name] for name in CAUSES], axis=0)
    found = [
        Column(name, "events", lasts, "", measured.certain(rows.causes[name] <= until))
        for name in CAUSES
    ]
    days = measured.certain(np.minimum(settled, until))
    return [*found, Column("any", "exposure", lasts, "days", days)]


def panel(basis: Basis, told: list[Column], fold: np.ndarray, run: Run) -> Panel:
    """Return the outcomes with what is expected of them, and the doubly robust scores."""
    rows = basis.rows
    assert rows.features is not None
    asked = Asked(
        features=rows.features,
        arm=rows.arm,
        arms=len(rows.arms),
        value=np.column_stack([each.of.value for each in told]),
        weight=np.column_stack([each.of.weight for each in told]),
    )
    expected = nuisances.expected(asked, fold, run)
    found = np.empty(expected.shape)
    for number, each in enumerate(told):
        found[:, :, number] = scores.scores(each.of, rows.arm, basis.chance, expected[:, :, number])
    return Panel(
        basis=basis, columns=tuple(told), expected=expected, scores=found, fold=fold, asked=asked
    )
