"""Tallies add up, scores follow their formulas, and what stands out is found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.settings import CONFIGS
from features import log
from features.contracts import check, load_contracts, quality, scores

CONTRACTS = load_contracts(CONFIGS / "contracts")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def stage(**changes: Any) -> dict[str, Any]:
    """Return one event."""
    common = {"row_key": "s:1", "source": "s", "event_time": NOON, "known_at": NOON}
    good = {"kind": "stage", "name": "proposal", "opportunity": "o1"}
    return dict.fromkeys(log.CANDIDATE.names) | common | good | changes


FAULTY = [
    stage(),
    stage(text="started", number=12),
    stage(opportunity=None),
    stage(name="Not a stage", number=-1),
    stage(kind="stagee"),
    stage(kind="lead", name="created", opportunity=None, lead="l1"),
]


def tallied(rows: list[dict[str, Any]]) -> quality.Tally:
    """Check rows and count them."""
    events = pa.Table.from_pylist(rows, schema=log.CANDIDATE)
    return quality.tally(CONTRACTS, check(CONTRACTS, events))


def scored(
    found: quality.Tally, now: datetime = NOON, history: pa.Table | None = None, ingest: str = "i9"
) -> scores.Assessment:
    """Score a tally."""
    return scores.assessed(CONTRACTS, found, ingest=ingest, source="s", now=now, history=history)


def score(found: scores.Assessment, kind: str, name: str) -> dict[str, Any]:
    """Return one row of the scores."""
    frame = found.frame
    return dict(frame[(frame["kind"] == kind) & (frame["field"] == name)].iloc[0])


def earlier(counts: list[int]) -> pa.Table:
    """Return the scores of earlier ingestions with so many rows in one day."""
    made = [
        scored(tallied([stage(text="started")] * count), ingest=f"i{place}").table
        for place, count in enumerate(counts)
    ]
    return pa.concat_tables(made)


def test_a_tally_counts_rows_present_and_broken_by_kind_and_field() -> None:
    found = tallied(FAULTY).kinds
    assert {kind: count.rows for kind, count in found.items()} == {"": 1, "lead": 1, "stage": 4}
    assert {c: found["stage"].present[c] for c in ("opportunity", "text", "number")} == {
        "opportunity": 3,
        "text": 1,
        "number": 2,
    }
    assert found["stage"].broken == {"opportunity": 1, "name": 1, "number": 1}
    assert found[""].broken == {"kind": 1}


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from(FAULTY), max_size=12), st.integers(0, 12))
def test_tallies_of_parts_add_up_to_that_of_the_whole(rows: list[dict[str, Any]], cut: int) -> None:
    parts = [tallied(rows[:cut]), tallied(rows[cut:])]
    assert parts[0] + parts[1] == parts[1] + parts[0] == quality.NOTHING + tallied(rows)


def test_scores_follow_their_formulas() -> None:
    found = scored(tallied(FAULTY))
    text, name = score(found, "stage", "text"), score(found, "stage", "name")
    assert (text["completeness"], text["validity"]) == (0.25, 1.0)
    assert (name["completeness"], name["validity"], name["score"]) == (1.0, 0.75, 0.75)
    frame = found.frame
    fields = frame[(frame["kind"] == "stage") & (frame["field"] != "")]
    whole = score(found, "stage", "")
    assert whole["score"] == pytest.approx(fields["score"].mean())
    kinds = frame[(frame["field"] == "") & (frame["kind"] != "*")]
    weighted = np.average(kinds["score"], weights=kinds["rows"])
    assert score(found, "*", "")["score"] == pytest.approx(weighted)


def test_the_table_has_its_schema_and_the_frame_its_columns() -> None:
    found = scored(tallied(FAULTY))
    assert found.table.schema == scores.QUALITY
    assert list(found.frame.columns) == scores.QUALITY.names


def test_nothing_is_scored_without_complaint() -> None:
    found = scored(quality.NOTHING)
    assert found.findings == []
    assert found.table["rows"].to_pylist() == [0]


@pytest.mark.parametrize(("hours", "freshness"), [(0, 1.0), (72, 1.0), (144, 0.5)])
def test_freshness_is_the_promise_over_the_age(hours: int, freshness: float) -> None:
    found = scored(tallied([stage()]), now=NOON + timedelta(hours=hours))
    assert score(found, "stage", "")["freshness"] == pytest.approx(freshness)
    stale = [finding.words for finding in found.findings]
    assert stale == (["newest 'stage' must be at most 72 h old, got 144 h"] * (freshness < 1))


def test_a_bad_row_does_not_make_a_kind_fresh() -> None:
    old, bad = stage(), stage(opportunity=None, known_at=NOON + timedelta(days=30))
    found = scored(tallied([old, bad]), now=NOON + timedelta(days=30))
    assert [finding.rule for finding in found.findings] == ["fresh"]


@pytest.mark.parametrize(("rows", "is_out"), [(100, False), (110, False), (20, True), (300, True)])
def test_volume_is_held_against_the_history(rows: int, is_out: bool) -> None:
    history = earlier([95, 100, 105, 100, 98])
    found = scored(tallied([stage(text="started")] * rows), history=history)
    assert [f.rule for f in found.findings] == ["in volume"] * is_out
    assert (score(found, "stage", "")["volume"] < 1.0) == is_out


def test_volume_is_per_day_that_the_rows_cover() -> None:
    history = earlier([95, 100, 105, 100, 98])
    days = [stage(text="x", known_at=NOON + timedelta(days=d)) for d in range(3)] * 100
    found = scored(tallied(days), now=NOON + timedelta(days=3), history=history)
    assert found.findings == []


def test_without_enough_history_nothing_is_out_of_line() -> None:
    found = scored(tallied([stage()] * 5000), history=earlier([95, 100, 105]))
    assert found.findings == []
    assert score(found, "stage", "")["volume"] is None or np.isnan(
        score(found, "stage", "")["volume"]
    )


def test_other_sources_and_the_same_ingestion_are_no_history() -> None:
    history = earlier([95, 100, 105, 100])
    for column, value in (("source", "another"), ("ingest", "i9")):
        place = history.column_names.index(column)
        other = history.set_column(place, column, pa.array([value] * history.num_rows))
        assert scored(tallied([stage()] * 5000), history=other).findings == []


def test_a_column_that_is_suddenly_missing_is_found() -> None:
    history = earlier([95, 100, 105, 100])
    rows = [stage(text="started" if n % 2 else None) for n in range(100)]
    words = [finding.words for finding in scored(tallied(rows), history=history).findings]
    assert words == ["'text' of 'stage' must be there in about 100.0% of the rows, got 50.0%"]


@pytest.mark.parametrize("rule", ["_stale", "_out_of_volume", "_incomplete"])
def test_without_its_rule_a_finding_is_missing(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    history, late = earlier([95, 100, 105, 100]), NOON + timedelta(days=9)
    rows = tallied([stage()] * 10)
    assert len(scored(rows, now=late, history=history).findings) == 3
    monkeypatch.setattr(scores, rule, lambda *_: iter(()))
    assert len(scored(rows, now=late, history=history).findings) == 2
