"""The search itself: every column by every kind of evidence. Pure and repeatable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from jobs.train.leaks import columns, evidence
from jobs.train.leaks.finding import weighed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jobs.train.leaks.columns import Column, Judge
    from jobs.train.leaks.evidence import Judged
    from jobs.train.leaks.finding import Evidence, Finding

MAX_ROWS = 50_000  # more are sampled: a leak that needs more to be seen does little harm
MIN_CLASS = 20  # positives, and negatives


def search(
    rows: pa.Table,
    label: np.ndarray,
    features: Sequence[str],
    *,
    rng: np.random.Generator,
    entities: pa.ChunkedArray | None = None,
    times: pa.ChunkedArray | None = None,
    known: Mapping[str, pa.ChunkedArray] | None = None,
) -> tuple[Finding, ...]:
    """Return what is found in the columns `features` of `rows`, leaks first.

    `label` (n,) is 0 or 1. Of an entity with several rows one is looked at: its rows share much of
    their outcome. With `times` (T of each row) columns of dates are held against T, and so are the
    moments at which values became `known` (timestamps by column, null where empty), if told.
    """
    taken = _sample(label, entities, rng)
    label, rows = label[taken], rows.take(pa.array(taken))
    if min(label.sum(), len(label) - label.sum()) < MIN_CLASS:
        return ()
    read = [columns.read(name, rows[name]) for name in features]
    asked = _Search(
        judge=columns.judge(label, rng),
        columns=[column for column in read if column is not None],
        later=_Later.of(rows, taken, times, known or {}),
    )
    return tuple(sorted(asked.findings(), key=lambda found: (found.verdict, found.column)))


def leaking(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the columns that are leaks, not mere suspects."""
    return tuple(each.column for each in findings if each.verdict == "leak")


def said(findings: Sequence[Finding], *, excluded: bool) -> list[str]:
    """Return the findings in lines, or the line that there are none."""
    if not findings:
        return ["leak search: no column knows the outcome"]
    leaks = len(leaking(findings))
    done = "left out" if excluded else "kept: --leaks exclude leaves leaks out"
    head = f"leak search: {leaks} leaks, {len(findings) - leaks} suspects; leaks are {done}"
    return [head, *(each.said for each in findings)]


@dataclass(frozen=True, kw_only=True)
class _Later:
    """Moments to be held against T."""

    times: np.ndarray  # (n,) float64 microseconds
    told: dict[str, np.ndarray]  # when values became known, by column
    dates: dict[str, np.ndarray]  # values that are dates

    @classmethod
    def of(
        cls,
        rows: pa.Table,
        taken: np.ndarray,
        times: pa.ChunkedArray | None,
        known: Mapping[str, pa.ChunkedArray],
    ) -> _Later:
        if times is None:
            return cls(times=np.empty(0), told={}, dates={})
        places = pa.array(taken)
        dates = [name for name in rows.column_names if _is_date(rows[name].type)]
        return cls(
            times=_micros(times.take(places)),
            told={name: _micros(column.take(places)) for name, column in known.items()},
            dates={name: _micros(rows[name]) for name in dates},
        )

    def evidence(self, name: str) -> Evidence | None:
        if name in self.told:
            return evidence.known_later(self.told[name], self.times, is_told=True)
        if name in self.dates:
            return evidence.known_later(self.dates[name], self.times, is_told=False)
        return None


class _Search:
    """The columns, and what was found in each without looking at the others."""

    def __init__(self, judge: Judge, columns: list[Column], later: _Later) -> None:
        self._judge = judge
        tests = sum(2 + len(column.words) for column in columns)
        self._alone = {each.name: _alone(each, judge.label, later, tests) for each in columns}
        self._judged = [
            evidence.Judged(column=column, auc=judge.alone(column)) for column in columns
        ]

    def evidence(self, judged: Judged) -> list[Evidence]:
        """Return all that speaks against a column; those already doubted are not its measure."""
        clean = [each for each in self._judged if not self._alone[each.column.name]]
        good = evidence.too_good(judged, clean, self._judge)
        return [*self._alone[judged.column.name], *([good] if good else [])]

    def findings(self) -> Iterator[Finding]:
        """Yield what is found in each column."""
        for judged in self._judged:
            found = weighed(judged.column.name, self.evidence(judged))
            if found is not None:
                yield found


def _alone(column: Column, label: np.ndarray, later: _Later, tests: int) -> list[Evidence]:
    found = (
        later.evidence(column.name),
        evidence.filled_by_outcome(column, label, tests),
        evidence.names_the_outcome(column, label, tests),
    )
    return [each for each in found if each is not None]


def _sample(
    label: np.ndarray, entities: pa.ChunkedArray | None, rng: np.random.Generator
) -> np.ndarray:
    """Return rows to look at, ascending: one of each entity, at most MAX_ROWS."""
    rows = rng.permutation(len(label))
    if entities is not None:
        codes = pc.dictionary_encode(entities).combine_chunks().indices.to_numpy()
        rows = rows[np.unique(codes[rows], return_index=True)[1]]
        rows = rng.permutation(rows)
    return np.sort(rows[:MAX_ROWS])


def _is_date(kind: pa.DataType) -> bool:
    return bool(pt.is_timestamp(kind) or pt.is_date(kind))


def _micros(column: pa.ChunkedArray) -> np.ndarray:
    """Return moments in microseconds (n,) float64, NaN where empty."""
    whole = pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64())
    return np.asarray(pc.fill_null(pc.cast(whole, pa.float64(), safe=False), np.nan))
