"""Groups: each is judged by itself, with intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from cluster import canonical
from jobs.train import evaluate, groups


def _rows(probability: np.ndarray, label: np.ndarray, clusters: np.ndarray) -> groups.Rows:
    scorer = evaluate.Judged(name="model", rank=probability, probability=probability, label=label)
    return groups.Rows(scorer=scorer, clusters=clusters, threshold=0.3)


def _honest(seed: int, rows: int = 3_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities, labels true to them, and accounts of up to five rows."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(2, 5, rows)
    label = (rng.random(rows) < probability).astype(np.float32)
    return probability, label, rng.integers(0, rows // 3, rows)


def test_intervals_of_a_mean_hold_the_truth_though_rows_of_an_account_are_alike() -> None:
    """Mutant: rows taken for independent ones miss it far too often."""
    held = {"clusters": 0, "rows": 0}
    for seed in range(300):
        rng = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(60), 8)
        values = np.repeat(rng.normal(size=60), 8) + 0.3 * rng.normal(size=480)
        for name, each in (("clusters", clusters), ("rows", np.arange(480))):
            found = groups.mean(values, each)
            held[name] += found["low"] <= 0 <= found["high"]
    assert held["clusters"] / 300 == pytest.approx(0.95, abs=0.03)
    assert held["rows"] / 300 < 0.7


def test_each_group_has_its_own_figures() -> None:
    """Those of its rows alone; small ones are left out, rare ones are together, none has a name."""
    probability, label, clusters = _honest(1)
    names = np.array(["big"] * 2_000 + ["small"] * 40 + [None] * 960, object)
    found = groups.by(_rows(probability, label, clusters), {"origin": names})["origin"]
    assert set(found) == {"big", groups.NONE}
    assert found["big"]["rows"] == 2_000
    assert found["big"]["rate"] == pytest.approx(label[:2_000].mean())
    alone = _rows(probability[:2_000], label[:2_000], clusters[:2_000])
    assert found["big"]["auc"] == pytest.approx(alone.scorer.metrics(np.ones(2_000))[0])
    many = np.array([f"{n:02d}" for n in range(20)] * 150, object)
    assert groups.OTHER in groups.by(_rows(probability, label, clusters), {"n": many})["n"]


def test_a_group_that_is_scored_too_low_is_named() -> None:
    """And no other is; of honest scores hardly any is."""
    probability, label, clusters = _honest(2, 6_000)
    names = np.array(["one", "two"] * 3_000, object)
    wronged = np.where(names == "two", probability * 0.6, probability)
    found = groups.unequal(groups.by(_rows(wronged, label, clusters), {"region": names}))
    assert any(words.startswith("region 'two': scored too low by 1") for words in found)
    assert any("of its positives are taken" in words for words in found)
    assert not any("'one'" in words for words in found)
    honest = [
        groups.unequal(
            groups.by(_rows(*_honest(seed)), {"n": np.array(["a", "b"] * 1_500, object)})
        )
        for seed in range(20)
    ]
    assert sum(map(len, honest)) <= 6


def test_periods_are_of_equally_many_rows() -> None:
    """Named by their first day; rows of one day are of one period."""
    day = 86_400_000_000
    times = np.sort(np.random.default_rng(0).integers(0, 200, 1_000)) * day
    names, counts = np.unique(groups.periods(times).astype(str), return_counts=True)
    assert names[0] == "from 1970-01-01"
    assert len(names) == 4
    assert counts.min() > 230
    assert set(groups.periods(np.full(9, 3 * day))) == {"from 1970-01-04"}


def test_a_group_of_one_account_has_no_interval() -> None:
    """Nothing is said of it, and nothing but plain numbers is kept."""
    probability, label, _ = _honest(1)
    found = groups.by(_rows(probability, label, np.zeros(3_000, int)), {"n": np.full(3_000, "a")})
    assert found["n"]["a"]["gap"]["value"] is not None
    assert found["n"]["a"]["gap"]["low"] is None
    assert groups.unequal(found) == []
    assert canonical.dumps(found)
