"""Scores of an ingestion, from 0 to 1, and what stands out of its history.

    completeness = present / rows            of a field, optional ones too
    validity     = valid / rows              valid: breaks no rule in this field
    freshness    = 1 up to the promised age of the newest known_at, then promise / age
    volume       = 1 up to LIMIT robust deviations from the median rows per day of earlier
                   ingestions of the source, then LIMIT / deviations; null without enough of them
    score of a field  = validity
    score of a kind   = mean validity of its fields x freshness x volume
    score of a source = mean of its kinds, weighted by rows

What stands out is a finding with its reason. It is a warning: the rows are in the log all the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.contracts.quality import ENVELOPE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from features.contracts.contract import Contract
    from features.contracts.quality import Count, Tally

LIMIT = 4.0  # robust deviations (1.4826 x median absolute deviation) that are ordinary
LEAST_SHARE = 0.05  # of the median: a smaller deviation is none
LEAST_HISTORY = 4  # earlier ingestions without which nothing is out of line
WHOLE = ""  # the field of a whole kind
EVERY_KIND = "*"  # the kind of a whole source
QUALITY = pa.schema(
    [
        pa.field("ingest", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("days", pa.int64(), nullable=False),  # that known_at covers
        pa.field("present", pa.int64()),
        pa.field("valid", pa.int64()),
        pa.field("completeness", pa.float64()),
        pa.field("validity", pa.float64()),
        pa.field("freshness", pa.float64()),
        pa.field("volume", pa.float64()),
        pa.field("score", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One row of QUALITY, without its ingestion and source."""

    kind: str
    field: str
    rows: int
    days: int
    score: float
    present: int | None = None
    valid: int | None = None
    completeness: float | None = None
    validity: float | None = None
    freshness: float | None = None
    volume: float | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a whole ingestion that stands out."""

    kind: str
    field: str  # WHOLE: the kind as a whole
    rule: str  # fresh, in volume or complete
    words: str  # what must hold, and what was found


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """The scores of an ingestion, and what stands out."""

    table: pa.Table  # QUALITY columns: the source, then each kind and its fields
    findings: list[Finding]

    @property
    def frame(self) -> pd.DataFrame:
        """The scores as a DataFrame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame


@dataclass(frozen=True, kw_only=True)
class Past:
    """The earlier ingestions of a source: rows of QUALITY."""

    table: pa.Table

    def per_day(self, kind: str) -> np.ndarray:
        """Return the rows per day of a kind, one entry per ingestion."""
        rows = self._of(kind, WHOLE)
        return np.asarray(pc.divide(rows["rows"].cast(pa.float64()), rows["days"]))

    def completeness(self, kind: str, name: str) -> np.ndarray:
        """Return the completeness of a field, one entry per ingestion."""
        return np.asarray(self._of(kind, name)["completeness"].drop_null())

    def _of(self, kind: str, name: str) -> pa.Table:
        both = pc.and_(pc.equal(self.table["kind"], kind), pc.equal(self.table["field"], name))
        return self.table.filter(both)


def assessed(
    terms: Mapping[str, Contract],
    found: Tally,
    *,
    ingest: str,
    source: str,
    now: datetime,
    history: pa.Table | None = None,
) -> Assessment:
    """Score an ingestion of a source at `now` (UTC).

    `history` are rows of QUALITY in any order; those of other sources and of this very ingestion
    are passed over.
    """
    past = _past(history, ingest, source)
    scores: list[Score] = []
    findings: list[Finding] = []
    for kind, count in found.kinds.items():
        fields = list(_fields(kind, count, terms.get(kind)))
        whole = _kind(kind, count, terms.get(kind), past=past, now=now, fields=fields)
        scores += [whole, *fields]
        findings += [
            *_stale(whole, count, terms.get(kind), now),
            *_out_of_volume(whole, past),
            *_incomplete(fields, past),
        ]
    rows = [{"ingest": ingest, "source": source, **asdict(s)} for s in [_source(scores), *scores]]
    return Assessment(table=pa.Table.from_pylist(rows, schema=QUALITY), findings=findings)


def _past(history: pa.Table | None, ingest: str, source: str) -> Past:
    table = QUALITY.empty_table() if history is None else history
    is_ours = pc.equal(table["source"], source)
    return Past(table=table.filter(pc.and_(is_ours, pc.not_equal(table["ingest"], ingest))))


def _source(scores: list[Score]) -> Score:
    kinds = [score for score in scores if score.field == WHOLE]
    rows = sum(kind.rows for kind in kinds)
    return Score(
        kind=EVERY_KIND,
        field=WHOLE,
        rows=rows,
        days=max((kind.days for kind in kinds), default=1),
        score=sum(kind.score * kind.rows for kind in kinds) / rows if rows else 1.0,
    )


def _kind(
    kind: str,
    count: Count,
    contract: Contract | None,
    *,
    past: Past,
    now: datetime,
    fields: list[Score],
) -> Score:
    validity = float(np.mean([f.score for f in fields])) if fields else 0.0
    freshness = _freshness(count, contract, now)
    deviations = _deviations(count.rows / count.days, past.per_day(kind))
    volume = None if deviations is None else min(1.0, LIMIT / max(abs(deviations), LIMIT))
    return Score(
        kind=kind,
        field=WHOLE,
        rows=count.rows,
        days=count.days,
        validity=validity,
        freshness=freshness,
        volume=volume,
        score=validity * freshness * (1.0 if volume is None else volume),
    )


def _fields(kind: str, count: Count, contract: Contract | None) -> Iterator[Score]:
    spoken = (contract.columns if contract else set()) | {*ENVELOPE, *count.broken}
    for name in sorted(spoken):
        present, valid = count.present.get(name, 0), count.rows - count.broken.get(name, 0)
        yield Score(
            kind=kind,
            field=name,
            rows=count.rows,
            days=count.days,
            present=present,
            valid=valid,
            completeness=present / count.rows,
            validity=valid / count.rows,
            score=valid / count.rows,
        )


def _freshness(count: Count, contract: Contract | None, now: datetime) -> float:
    if contract is None or count.known_to is None:
        return 0.0
    return min(1.0, contract.freshness / max(_age(count.known_to, now), contract.freshness))


def _age(known_to: int, now: datetime) -> timedelta:
    return now - (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=known_to))


def _deviations(value: float, earlier: np.ndarray) -> float | None:
    """Return how many robust deviations a value lies from earlier ones; None without history."""
    if len(earlier) < LEAST_HISTORY:
        return None
    median = float(np.median(earlier))
    deviation = 1.4826 * float(np.median(np.abs(earlier - median)))
    return (value - median) / max(deviation, LEAST_SHARE * abs(median), 1e-9)


def _stale(
    whole: Score, count: Count, contract: Contract | None, now: datetime
) -> Iterator[Finding]:
    if contract is not None and count.known_to is not None and (whole.freshness or 0.0) < 1.0:
        hours = _age(count.known_to, now) // timedelta(hours=1)
        promise = contract.freshness // timedelta(hours=1)
        words = f"newest '{whole.kind}' must be at most {promise} h old, got {hours} h"
        yield Finding(kind=whole.kind, field=WHOLE, rule="fresh", words=words)


def _out_of_volume(whole: Score, past: Past) -> Iterator[Finding]:
    if whole.volume is not None and whole.volume < 1.0:
        usual, found = np.median(past.per_day(whole.kind)), whole.rows / whole.days
        words = f"'{whole.kind}' must come at about {usual:,.1f} rows per day, got {found:,.1f}"
        yield Finding(kind=whole.kind, field=WHOLE, rule="in volume", words=words)


def _incomplete(fields: list[Score], past: Past) -> Iterator[Finding]:
    for score in fields:
        earlier = past.completeness(score.kind, score.field)
        deviations = _deviations(score.completeness or 0.0, earlier)
        if deviations is not None and deviations < -LIMIT:
            usual = f"{np.median(earlier):.1%}"
            words = (
                f"'{score.field}' of '{score.kind}' must be there in about {usual} of the rows,"
                f" got {score.completeness:.1%}"
            )
            yield Finding(kind=score.kind, field=score.field, rule="complete", words=words)
