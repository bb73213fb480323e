"""Cells into moments and whole numbers: every form that is declared, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.sources import amounts, moments
from features.sources.phrases import Moment, Number, Order

SPRING, AUTUMN = "2024-03-10 02:30", "2024-11-03 01:30"  # clock changes in Chicago


def _moments(cells: list[str | None], **how: Any) -> list[Any]:
    found = moments.moments(pa.array(cells, pa.string()), Moment(column="c", **how))
    return [None if v is None else v.isoformat()[:-6] for v in found.values.to_pylist()]


def _numbers(cells: list[str | None], **how: Any) -> list[int | None]:
    return amounts.integers(
        pa.array(cells, pa.string()), Number(column="c", **how)
    ).values.to_pylist()


@pytest.mark.parametrize(
    ("cell", "how", "expected"),
    [
        ("2018-02-01", {}, "2018-02-01T00:00:00"),
        ("2018-02-01 10:11:12.123456789", {}, "2018-02-01T10:11:12.123456"),
        ("2018-02-01T10:11:12+0200", {}, "2018-02-01T08:11:12"),
        ("2018-02-30", {}, None),
        ("2018-02-01", {"end_of_day": True}, "2018-02-02T00:00:00"),
        ("2/1/2024", {"format": "%m/%d/%Y", "plus_hours": 24}, "2024-02-02T00:00:00"),
        ("2/30/2024", {"format": "%m/%d/%Y"}, None),
        ("02/29/2023", {"format": "%D"}, None),
        ("3 Mar 2024", {"format": "%d %b %Y"}, "2024-03-03T00:00:00"),
        ("02/23/26 08:55 PM", {"format": "%m/%d/%y %I:%M %p"}, "2026-02-23T20:55:00"),
        ("1517443200", {"format": "epoch_seconds"}, "2018-02-01T00:00:00"),
        ("1517443200123", {"format": ["ISO8601", "epoch_ms"]}, "2018-02-01T00:00:00.123000"),
        ("2024-07-01 12:00", {"zone": "America/Chicago"}, "2024-07-01T17:00:00"),
        ("2024-07-01T12:00Z", {"zone": "America/Chicago"}, "2024-07-01T12:00:00"),
        ("2024-07-01T12:00Z", {"zone": "Asia/Tokyo", "end_of_day": True}, "2024-07-01T15:00:00"),
        (AUTUMN, {"zone": "America/Chicago"}, None),
        (AUTUMN, {"zone": "America/Chicago", "ambiguous": "earliest"}, "2024-11-03T06:30:00"),
        (AUTUMN, {"zone": "America/Chicago", "ambiguous": "latest"}, "2024-11-03T07:30:00"),
        (SPRING, {"zone": "America/Chicago", "ambiguous": "latest"}, None),
        (SPRING, {"zone": "America/Chicago", "nonexistent": "latest"}, "2024-03-10T08:00:00"),
    ],
)
def test_a_time_is_read_as_declared(cell: str, how: dict[str, Any], expected: str | None) -> None:
    """Alone, and beside cells that are absent or broken."""
    assert _moments([cell], **how) == [expected]
    assert _moments([None, cell, "no time", cell], **how) == [None, expected, None, expected]


def test_forms_of_iso_may_be_mixed_in_a_column() -> None:
    """With a zone and without, dates alone, more digits than microseconds."""
    cells: list[str | None] = ["2018-02-01", "2018-02-01T10:00:00.1234567Z", "2018-02-01 10:00+02"]
    assert _moments(cells) == [
        "2018-02-01T00:00:00",
        "2018-02-01T10:00:00.123456",
        "2018-02-01T08:00:00",
    ]


def test_the_hour_of_a_clock_change_is_refused_with_its_reason() -> None:
    """And the reason does not quote the cell."""
    cells = pa.array([SPRING, AUTUMN])
    found = moments.moments(cells, Moment(column="c", zone="America/Chicago"))
    assert found.reasons == {
        0: "exists in America/Chicago: a time in the hour of a clock change",
        1: "comes once in America/Chicago: a time in the hour of a clock change",
    }


def test_strptime_alone_would_make_march_of_30_february(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: without the look at what was carried over, the wrong day passes."""
    monkeypatch.setattr(moments, "_without_overflow", lambda texts, values, form: values)
    assert _moments(["2/30/2024"], format="%m/%d/%Y") == ["2024-03-01T00:00:00"]


@settings(deadline=None, max_examples=60)
@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_every_day_is_a_day(day: date) -> None:
    """The look at what strptime carries over refuses no true date."""
    cells: list[str | None] = [day.strftime("%d.%m.%Y"), day.strftime("%e %B %Y")]
    found = _moments(cells, format=["%d.%m.%Y", "%e %B %Y"])
    assert found == [f"{day.isoformat()}T00:00:00"] * 2


@pytest.mark.parametrize(
    ("cell", "how", "expected"),
    [
        ("10.5", {"times": 100}, 1050),
        ("0.005", {"times": 100}, 0),
        ("1.015", {"times": 100}, 102),
        ("1100.04", {"times": 100_000_000}, 110_004_000_000),
        ("90071992547409.93", {"times": 100}, 9_007_199_254_740_993),
        ("92233720368547758.07", {"times": 100}, 2**63 - 1),
        ("92233720368547758.08", {"times": 100}, None),
        ("1,234.56", {"times": 100, "thousands": ","}, 123_456),
        ("1,2,3", {"thousands": ","}, None),
        ("1.234,56", {"times": 100, "thousands": ".", "decimal": ","}, 123_456),
        ("1.5", {"decimal": ","}, None),
        ("$ 1,234", {"thousands": ",", "marks": "$"}, 1234),
        ("1500", {"times": Decimal("0.001")}, 2),
        ("0x10", {}, None),
        ("nan", {}, None),
        ("inf", {"times": 100}, None),
        ("1e3", {}, 1000),
        ("", {}, None),
    ],
)
def test_a_number_is_read_as_declared(cell: str, how: dict[str, Any], expected: int | None) -> None:
    """Alone, and beside cells that are absent or broken."""
    assert _numbers([cell], **how) == [expected]
    assert _numbers([None, "x", cell, "2"], **how)[:3] == [None, None, expected]


@settings(deadline=None, max_examples=60)
@given(
    st.decimals(-(10**12), 10**12, places=4),
    st.sampled_from(["1", "100", "0.01", "1000000", "60", "0.001"]),
)
def test_scaling_is_exact(value: Decimal, times: str) -> None:
    """As decimal arithmetic has it, halves to even, whichever way was taken."""
    expected = int((value * Decimal(times)).to_integral_value(ROUND_HALF_EVEN))
    assert _numbers([str(value)], times=Decimal(times)) == [expected]


def test_doubles_alone_would_lose_a_cent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: without decimal arithmetic for what is doubtful, large and half cents go wrong."""
    monkeypatch.setattr(amounts, "DOUBTFUL_FROM", float("inf"))
    monkeypatch.setattr(amounts, "NEAR_HALF", 0.0)
    assert _numbers(["90071992547409.93"], times=100) != [9_007_199_254_740_993]
    assert _numbers(["1.015"], times=100) == [101], "101.5 goes to the even neighbour, 102"


def test_an_order_is_a_nominal_clock() -> None:
    """Start, plus a step for each number after the first; what is no number is named."""
    order = Order(column="c", start="2020-01-01", step_seconds=60, first=100)
    found = moments.by_order(pa.array(["100", "103", "x"]), order)
    expected = [datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 0, 3, tzinfo=UTC), None]
    assert found.values.to_pylist() == expected
    assert list(found.reasons) == [2]
