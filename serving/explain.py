"""Reasons: what moved a score, grouped by what it says, in a seller's words. Pure.

The contribution of a group is the sum of those of its features, so groups and base still add up to
the margin. Everything is computed row by row in one order: alone and in a batch the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numba import njit

from cluster.errors import WrongUse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from serving.model import Feature

type Array = np.ndarray
type Row = Mapping[str, object]
type Calibrated = Callable[[Array], Array]  # margins (k, n) of n rows -> probabilities (k, n)

LEAST_POINTS = 0.1  # percentage points that are told by number


@dataclass(frozen=True, kw_only=True)
class Reason:
    """How much the features that say one thing moved one score."""

    feature: str  # the one of them that moved it most, in the direction of all
    label: str  # what they say, in a seller's words
    value: object  # of that feature, as given in the row; None for null
    contribution: float  # log-odds before calibration; over all groups and the base the margin
    group: str = ""  # stable id of what they look at
    features: tuple[str, ...] = ()  # all of them
    probability_change: float = 0.0  # calibrated: with these contributions less without them
    text: str = ""  # value, direction and size in a sentence


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The features of a model by what they say."""

    features: tuple[Feature, ...]
    ids: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]  # places of features, by group
    of: Array  # (f,) int64: the group of each feature

    @classmethod
    def among(cls, features: tuple[Feature, ...]) -> Self:
        """Group features by their wording, in the order of the first of each."""
        members: dict[str, list[int]] = {}
        for place, feature in enumerate(features):
            members.setdefault(feature.wording.group or feature.name, []).append(place)
        of = np.empty(len(features), np.int64)
        for number, places in enumerate(members.values()):
            of[places] = number
        found = tuple(tuple(places) for places in members.values())
        return cls(features=features, ids=tuple(members), members=found, of=of)

    def contributions(self, shares: Array) -> Array:
        """Return the sums over groups, the base last: (n, g + 1) of shares (n, f + 1)."""
        sums = np.zeros((len(shares), len(self.ids) + 1))
        _sum(shares, np.append(self.of, len(self.ids)), sums)
        return sums

    def reasons(
        self,
        records: Sequence[Row],
        shares: Array,
        calibrated: Calibrated,
        *,
        top: int,
    ) -> list[tuple[Reason, ...]]:
        """Return per row the `top` groups that moved its margin most, strongest first.

        `shares` (n, f + 1) are the contributions of the features and the base.
        """
        if top < 1:
            raise WrongUse(f"as many reasons as asked for must be 1 or more, got {top}")
        sums = self.contributions(shares)
        strongest = np.argsort(-np.abs(sums[:, :-1]), axis=1, kind="stable")[:, :top]
        changes = _changes(sums, strongest, calibrated)
        parts = zip(records, shares, sums, strongest, changes, strict=True)
        return [self._of_row(*part) for part in parts]

    def _of_row(
        self, record: Row, shares: Array, sums: Array, strongest: Array, changes: Array
    ) -> tuple[Reason, ...]:
        found = zip(strongest.tolist(), sums[strongest].tolist(), changes.tolist(), strict=True)
        return tuple(
            self._reason(number, record, shares, total, change)
            for number, total, change in found
            if total
        )

    def _reason(
        self, number: int, record: Row, shares: Array, total: float, change: float
    ) -> Reason:
        places = self.members[number]
        most = max(places, key=lambda place: shares[place] if total > 0 else -shares[place])
        feature, wording = self.features[most], self.features[most].wording
        value = record[feature.name]
        value = None if value is None or value != value else value
        return Reason(
            feature=feature.name,
            label=wording.topic or feature.label,
            value=value,
            contribution=total,
            group=self.ids[number],
            features=tuple(self.features[place].name for place in places),
            probability_change=change,
            text=f"{wording.said(value, feature.label)}, {told(change)}",
        )


def told(change: float) -> str:
    """Return a change of a probability in words.

    >>> told(-0.042)
    'lowers the chance by 4.2 points'
    """
    if not change:
        return "leaves the chance as it is"
    way = "raises" if change > 0 else "lowers"
    points = abs(change) * 100
    size = f"less than {LEAST_POINTS}" if points < LEAST_POINTS else f"{points:.1f}"
    return f"{way} the chance by {size} points"


def _changes(sums: Array, numbers: Array, calibrated: Calibrated) -> Array:
    """Return what each group changes the probability by, all else as it is: (n, top)."""
    margin, rows = np.zeros(len(sums)), np.arange(len(sums))
    for column in sums.T:  # one order of adding, whatever the number of rows
        margin += column
    without = [margin - sums[rows, number] for number in numbers.T]
    probability = calibrated(np.stack([margin, *without]))
    changes: Array = (probability[0] - probability[1:]).T
    return changes


@njit(cache=True, nogil=True)
def _sum(shares: Array, group: Array, sums: Array) -> None:
    """Add columns of shares to those of their groups, in the order of the features."""
    for row in range(shares.shape[0]):
        for place in range(shares.shape[1]):
            sums[row, group[place]] += shares[row, place]
