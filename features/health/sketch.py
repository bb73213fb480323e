"""Sketches: what is kept of a column, as plain JSON values. Pure.

They are exact: a column is sorted once, or counted where it holds few whole numbers, and every
figure is read off the distinct values and their counts. A snapshot is read whole, so no sketch must
be merged and none need be approximate. What is kept of it is enough to count the next snapshot in
the same bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    type Sketch = Mapping[str, Any]

QUANTILES = tuple(n / 20 for n in range(21))
DECILES = slice(2, 20, 2)  # of these, without the ends
BARS = 20
ENDS = (0.01, 0.99)  # the shares of values where a histogram begins and ends
TOP = 20  # texts that are kept with their counts
FEWEST = 10  # rows that must hold a text for it to be kept: what is rare may be about one person


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """A column of numbers: its distinct values, ascending, and how many rows are at or below each.

    A number that is not finite counts as null.
    """

    values: np.ndarray  # (distinct,)
    ends: np.ndarray  # (distinct,) int64
    nulls: int

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Self:
        """Sort or count a column."""
        numbers = column.drop_null().to_numpy()
        if numbers.dtype.kind == "f":
            numbers = numbers[np.isfinite(numbers)]
        nulls = len(column) - len(numbers)
        if len(numbers) and numbers.dtype.kind != "f":
            low, high = int(numbers.min()), int(numbers.max())
            if high - low <= len(numbers):  # counting is faster than sorting
                counts = np.bincount(numbers - low)
                values = np.flatnonzero(counts)
                return cls(values=values + low, ends=np.cumsum(counts[values]), nulls=nulls)
        numbers = np.sort(numbers)
        is_last = np.append(numbers[1:] != numbers[:-1], True)[: len(numbers)]
        last = np.flatnonzero(is_last)
        return cls(values=numbers[last], ends=last + 1, nulls=nulls)

    @property
    def rows(self) -> int:
        """How many rows hold a number."""
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def figures(self) -> dict[str, Any]:
        """Distinct values, min, max and mean; no more than the first without numbers."""
        if not self.rows:
            return {"distinct": 0}
        counts = np.diff(self.ends, prepend=0)
        return {
            "distinct": len(self.values),
            "min": float(self.values[0]),
            "max": float(self.values[-1]),
            "mean": float((self.values * (counts / self.rows)).sum()),
        }

    @property
    def sketch(self) -> dict[str, Any]:
        """`quantiles`; `edges`, the deciles, and `counts` between them, last the nulls; `low`,
        `high` and `bars` of a histogram, what lies outside counted in its first and last bar.
        """
        if not self.rows:
            return {"quantiles": [], "edges": [], "counts": [0, self.nulls], "bars": []}
        quantiles = self.quantiles()
        edges = sorted(set(quantiles[DECILES]))
        counts = [*self._between(edges), self.nulls]
        return {"quantiles": quantiles, "edges": edges, "counts": counts, **self._bars()}

    def quantiles(self, shares: Sequence[float] = QUANTILES) -> list[float]:
        """Return for each share the least value with so many rows at or below it."""
        ranks = np.maximum(np.ceil(np.array(shares) * self.rows - 1e-9), 1)
        return [float(value) for value in self.values[np.searchsorted(self.ends, ranks)]]

    def counts(self, before: Sketch) -> list[int] | None:
        """Return the counts between the edges of another sketch; None if that is not of numbers."""
        return [*self._between(before["edges"]), self.nulls] if "edges" in before else None

    def _between(self, edges: Sequence[float]) -> list[int]:
        """Count what is at or below the first edge, between each two, and above the last."""
        places = np.searchsorted(self.values, np.asarray(edges, np.float64), side="right")
        below = np.append(0, self.ends)[places]
        return [int(n) for n in np.diff(below, prepend=0, append=self.rows)]

    def _bars(self) -> dict[str, Any]:
        """Whole numbers have a bar each, where there are few."""
        low, high = self.quantiles(ENDS)
        if self.values.dtype.kind != "f" and high - low < BARS:
            edges = np.arange(low, high)
        else:
            edges = np.linspace(low, high, BARS + 1)[1:-1] if low < high else np.array([])
        return {"low": low, "high": high, "bars": self._between(edges.tolist())}


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A column of texts: its distinct values and how often each occurs."""

    values: pa.Array
    occur: np.ndarray  # (distinct,) int64
    nulls: int

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Self:
        """Count the values of a column."""
        found = pc.value_counts(column.drop_null())
        counts = found.field("counts").to_numpy()
        return cls(values=found.field("values"), occur=counts, nulls=column.null_count)

    @property
    def rows(self) -> int:
        """How many rows hold a text."""
        return int(self.occur.sum())

    @property
    def figures(self) -> dict[str, Any]:
        """Distinct values."""
        return {"distinct": len(self.values)}

    @property
    def sketch(self) -> dict[str, Any]:
        """`values`, the most frequent ones, of equals those first in the alphabet, none that fewer
        than FEWEST rows hold; and `counts` of them, then of all others, last of the nulls.
        """
        table = pa.table({"value": self.values, "rows": self.occur})
        table = table.filter(pc.greater_equal(table["rows"], FEWEST))
        order = [("rows", "descending"), ("value", "ascending")]
        first = table.take(pc.select_k_unstable(table, min(TOP, len(table)), order))
        kept = first["rows"].to_pylist()
        counts = [*kept, self.rows - sum(kept), self.nulls]
        return {"values": first["value"].to_pylist(), "counts": counts}

    def counts(self, before: Sketch) -> list[int] | None:
        """Return the counts of the values of another sketch; None if that is not of texts."""
        if "values" not in before:
            return None
        places = pc.index_in(pa.array(before["values"], self.values.type), self.values)
        held = [0 if place is None else int(self.occur[place]) for place in places.to_pylist()]
        return [*held, self.rows - sum(held), self.nulls]


def drift(before: Sequence[int], now: Sequence[int]) -> float | None:
    """Return the population stability index of two counts over the same bins; None without rows.

    PSI = sum((q - p) * ln(q / p)) over the shares p before and q now; an empty bin counts as half a
    row. Siddiqi, Credit Risk Scorecards (2006), system stability report; Yurdakul and Naranjo,
    Statistical properties of the population stability index, J. Risk Model Validation 14 (2020).
    """
    if not sum(before) or not sum(now):
        return None
    p, q = (np.maximum(np.array(counts), 0.5) / sum(counts) for counts in (before, now))
    return float(np.sum((q - p) * np.log(q / p)))


def limit(before: Sequence[int], now: Sequence[int], least: float) -> float:
    """Return the PSI above which a column has drifted: `least`, or more where rows are few.

    Of two samples of n and m rows of one distribution in B bins, PSI / (1/n + 1/m) is about
    chi-squared with B - 1 degrees of freedom (Yurdakul and Naranjo 2020); its mean and four
    standard deviations are chance.
    """
    bins = sum(1 for p, q in zip(before, now, strict=True) if p or q)
    free = max(bins - 1, 1)
    chance = (free + 4 * float(np.sqrt(2 * free))) * (1 / sum(before) + 1 / sum(now))
    return max(least, chance)
