"""Broken rows: every way to break one is caught by a contract, and no good row with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.settings import CONFIGS
from features import log
from features.contracts import check, load_contracts
from features.contracts.check import FAMILIES
from features.sources.world import WorldConfig, cells, faults, generate, poison

if TYPE_CHECKING:
    import pandas as pd

CONTRACTS = load_contracts(CONFIGS / "contracts")


@pytest.fixture(scope="module")
def good() -> pa.Table:
    """Return 100,000 good rows."""
    return generate(WorldConfig(events=110_000, faults=0.0)).events.slice(0, 100_000)


@pytest.fixture(scope="module")
def poisoned(good: pa.Table) -> tuple[pa.Table, pd.DataFrame]:
    """Return them with 5,000 broken ones among them, and the truth."""
    return poison(np.random.default_rng(3), good, 5_000)


def test_all_of_5000_broken_rows_are_refused_and_no_good_one(
    good: pa.Table, poisoned: tuple[pa.Table, pd.DataFrame]
) -> None:
    rows, truth = poisoned
    checked = check(CONTRACTS, rows)
    assert checked.bad.num_rows == len(truth) == 5_000
    assert set(checked.bad["row_key"].to_pylist()) == set(truth["row_key"])
    assert checked.good.equals(good)


def test_every_fault_is_planted_about_as_often(poisoned: tuple[pa.Table, pd.DataFrame]) -> None:
    counts = poisoned[1]["fault"].value_counts()
    assert set(counts.index) == set(faults.FAULTS)
    assert len(counts) >= 25
    assert counts.max() - counts.min() <= 1


def test_broken_rows_lie_among_the_good_ones(poisoned: tuple[pa.Table, pd.DataFrame]) -> None:
    is_bad = pc.is_in(poisoned[0]["row_key"], pa.array(poisoned[1]["row_key"])).to_numpy()
    tenths = np.add.reduceat(is_bad, np.arange(0, len(is_bad), len(is_bad) // 10))[:10]
    assert tenths.min() > 400


def test_the_truth_names_the_good_row_of_every_broken_one(
    good: pa.Table, poisoned: tuple[pa.Table, pd.DataFrame]
) -> None:
    assert set(poisoned[1]["copy_of"]) <= set(good["row_key"].to_pylist())
    assert poisoned[1]["row_key"].is_unique
    assert not set(poisoned[1]["row_key"]) & set(good["row_key"].to_pylist())


def test_equal_seeds_break_the_same_rows(good: pa.Table) -> None:
    rows = good.slice(0, 5_000)
    made = [poison(np.random.default_rng(seed), rows, 200)[0] for seed in (1, 1, 2)]
    assert made[0].equals(made[1])
    assert not made[0].equals(made[2])


@pytest.mark.parametrize(
    ("family", "fault"),
    [
        ("in_order", "date in the future"),
        ("well_formed", "control character in a key"),
        ("not_identifying", "address as a key"),
        ("listed", "unknown name"),
        ("in_range", "negative seconds"),
        ("of_known_kind", "unknown kind"),
    ],
)
def test_without_its_rule_a_fault_would_pass(
    monkeypatch: pytest.MonkeyPatch,
    poisoned: tuple[pa.Table, pd.DataFrame],
    family: str,
    fault: str,
) -> None:
    broken = set(poisoned[1].query("fault == @fault")["row_key"])
    rows = poisoned[0].filter(pc.is_in(poisoned[0]["row_key"], pa.array(list(broken))))
    assert check(CONTRACTS, rows).good.num_rows == 0
    monkeypatch.delitem(FAMILIES, family)
    assert check(CONTRACTS, rows).good.num_rows > 0


def test_a_table_of_one_kind_is_broken_in_the_ways_that_it_can_be(good: pa.Table) -> None:
    stages = good.filter(pa.array(cells.of_kind(good, "stage")))
    rows, truth = poison(np.random.default_rng(4), stages, 100)
    assert rows.num_rows == stages.num_rows + 100
    assert "missing deal" in set(truth["fault"])
    assert "negative seconds" not in set(truth["fault"])
    assert check(CONTRACTS, rows).bad.num_rows == 100


def test_nothing_is_broken_where_there_is_nothing() -> None:
    rows, truth = poison(np.random.default_rng(5), log.CANDIDATE.empty_table(), 10)
    assert rows.num_rows == 0
    assert len(truth) == 0
