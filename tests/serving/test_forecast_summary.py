"""What a forecast says: whole-number quantiles, paired differences, and a record that reads
back."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from serving.forecast import record, summary
from serving.forecast.funnel import Outcome


def outcome(extra: int = 0) -> Outcome:
    """Return 20 draws of 2 weeks; draw i wins i existing deals in week 1 and `extra` new ones in
    week 2."""
    won = np.zeros((20, 2, 2), np.int64)
    won[:, 0, 0], won[:, 1, 1] = np.arange(20), extra
    contacts = np.full((20, 2, 1 if extra else 0), 5, np.int64)
    return Outcome(won, won * 10_000, contacts)


OUTCOMES = {"baseline": outcome(), "outreach": outcome(3)}


def row(**where: object) -> dict[str, object]:
    """Return the one row of the summary with these values."""
    table = summary.table(OUTCOMES)
    chosen = table[(table[list(where)] == list(where.values())).all(axis=1)]
    assert len(chosen) == 1
    return dict(chosen.iloc[0])


def test_quantiles_are_values_that_occurred() -> None:
    first = row(scenario="baseline", part="existing", measure="won", span="weekly", week=1)
    assert (first["mean"], first["p05"], first["p50"], first["p95"]) == (9.5, 0, 9, 18)
    assert summary.table(OUTCOMES)["p50"].dtype == np.int64


def test_all_is_existing_and_new_and_cumulates_over_weeks() -> None:
    last = row(scenario="outreach", part="all", measure="value_cents", span="cumulative", week=2)
    assert last["mean"] == pytest.approx((9.5 + 3) * 10_000)


def test_a_difference_is_taken_draw_by_draw() -> None:
    paired = row(scenario="difference", part="all", measure="won", span="cumulative", week=2)
    assert (paired["p05"], paired["p95"]) == (3, 3), "what varies in both arms cancels"


@pytest.mark.parametrize(("cost", "pays"), [(2_999, 1.0), (3_000, 0.0)])
def test_a_lever_pays_when_its_extra_value_exceeds_its_cost(cost: int, pays: float) -> None:
    paid = summary.payoff(OUTCOMES["baseline"], OUTCOMES["outreach"], np.array([cost]))
    assert (paid.won, paid.contacts, paid.cost_cents) == ((3.0, 3, 3), 10.0, 10.0 * cost)
    assert paid.pays == pays


def test_the_headline_shows_every_second_week_and_the_last() -> None:
    shown = summary.headline(summary.table(OUTCOMES))
    assert shown["week"].tolist() == [2]
    assert shown["outreach won"].tolist() == ["12 (3–21)"]
    assert shown["difference value"].tolist() == ["0k (0–0)"]


def test_the_record_reads_back_and_equal_runs_have_equal_bytes() -> None:
    facts = {"scenario": {"name": "outreach"}, "grade": None}
    data = record.blob(OUTCOMES, facts)
    table, said = record.read(data)
    assert data == record.blob(OUTCOMES, facts) and said == facts
    assert table.num_rows == 2 * 20 * 2
    assert sum(table["won_new"].to_pylist()) == 3 * 20


def test_the_rows_of_the_forecast_table_have_its_schema() -> None:
    rows = record.rows(summary.table(OUTCOMES), "r", datetime(2026, 1, 1, tzinfo=UTC))
    assert rows.schema.equals(record.SCHEMA) and rows.num_rows == 3 * 3 * 2 * 2 * 2
