"""Margins of few rows: the bits of XGBoost, or XGBoost itself."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from serving import model, probes, walker
from serving.calibrator import Calibrator
from serving.trees import Splits, TreesBroken
from serving.walker import Walker

NUMBERS, CODES = 6, 9  # features of numbers, and codes of each of the two of categories
WIDE = NUMBERS + 2
KINDS = ["q"] * NUMBERS + ["c", "c"]
FIXED = {"objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "eta": 0.3,
         "max_cat_to_onehot": 3, "min_child_weight": 0.1}  # fmt: skip
SORTS: dict[str, dict[str, object]] = {
    "forest": {"num_parallel_tree": 4, "subsample": 0.5},
    "leaves alone": {"gamma": 1e9},
    "some leaves alone": {"gamma": 25.0, "min_child_weight": 40, "max_depth": 2, "rounds": 40},
    "one tree": {"rounds": 1},
    "lopsided": {"grow_policy": "lossguide", "max_leaves": 40, "max_depth": 0},
    "base 0.5": {"base_score": 0.5},
    "base 0.1": {"base_score": 0.1},
    "base near 1": {"base_score": 0.99999},
    "a code at a time": {"max_cat_to_onehot": 100},
    "stumps": {"max_depth": 1, "rounds": 60},
}


def _rows(seed: int, rows: int) -> np.ndarray:
    """Return rows with nulls, ties, and codes that training may not have seen."""
    rng = np.random.default_rng(seed)
    matrix = np.round(rng.normal(size=(rows, WIDE)), 1).astype(np.float32)
    matrix[:, NUMBERS:] = rng.integers(0, CODES, (rows, 2))
    matrix[rng.random(matrix.shape) < 0.15] = np.nan
    return matrix


@cache
def _data(kinds: tuple[str, ...] = tuple(KINDS)) -> xgb.DMatrix:
    rng, matrix = np.random.default_rng(1), _rows(1, 1500)
    known = np.nan_to_num(matrix)
    logit = known[:, 0] * known[:, 1] + (known[:, -1] > 3) + known[:, 2:NUMBERS].sum(axis=1) / 2
    label = (rng.random(len(matrix)) < 1 / (1 + np.exp(1 - logit))).astype(np.float32)
    return xgb.DMatrix(matrix, label, feature_types=list(kinds), enable_categorical=True, nthread=1)


def _booster(rounds: int = 15, **params: object) -> xgb.Booster:
    return xgb.train({**FIXED, "max_depth": 5, **params}, _data(), rounds)


def _walker(booster: xgb.Booster) -> Walker:
    return Walker.of(booster, Splits.of(booster))


def _hard(booster: xgb.Booster) -> np.ndarray:
    """Return rows as they come, and rows where trees part, with other nulls than the probes'."""
    made = probes.rows(Splits.of(booster), WIDE)
    shuffled = np.random.default_rng(2).permuted(made, axis=0)
    return np.concatenate([_rows(3, 1500), shuffled])


def _is_same(booster: xgb.Booster, rows: np.ndarray) -> bool:
    """Are the margins those of XGBoost, together and alone?"""
    ours, few = _walker(booster).margins(rows), rows[::40]
    alone = [walker.margins(booster, row[None])[0] for row in few]
    return bool(
        ours.dtype == np.float32
        and ours.tobytes() == walker.margins(booster, rows).tobytes()
        and ours[::40].tobytes() == np.array(alone).tobytes()
        and ours[7:8].tobytes() == _walker(booster).margins(rows[7:8]).tobytes()
    )


@pytest.mark.parametrize("depth", range(1, 11))
def test_margins_are_those_of_xgboost_at_any_depth(depth: int) -> None:
    """Numbers and categories, known and not, nulls, thresholds met and just missed: every bit."""
    booster = _booster(max_depth=depth)
    assert _is_same(booster, _hard(booster))


@pytest.mark.parametrize("sort", SORTS)
def test_margins_are_those_of_xgboost_for_any_sort_of_trees(sort: str) -> None:
    """And for any base: XGBoost's own rounding of its log-odds."""
    booster = _booster(**SORTS[sort])  # type: ignore[arg-type]
    assert _is_same(booster, _hard(booster))


def test_margins_are_those_of_xgboost_for_numbers_only() -> None:
    """Without a table of codes."""
    booster = xgb.train({**FIXED, "max_depth": 5}, _data(("q",) * WIDE), 15)
    assert Splits.of(booster).goes_right.shape == (0, 1)
    assert _is_same(booster, _hard(booster))


def _said(booster: xgb.Booster, change: Callable[[dict[str, Any]], object]) -> xgb.Booster:
    """Return a booster of which the trees say something else."""
    said = json.loads(bytes(booster.save_raw("json")))
    for tree in said["learner"]["gradient_booster"]["model"]["trees"]:
        change(tree)
    changed = xgb.Booster({"nthread": 1})
    changed.load_model(bytearray(json.dumps(said).encode()))
    return changed


TINY = float(np.finfo(np.float32).smallest_subnormal)


@pytest.mark.parametrize(
    "cut", [np.inf, -np.inf, np.nan, 0.0, -0.0, TINY, -TINY, float(np.finfo(np.float32).max)]
)
def test_odd_thresholds_part_rows_as_they_do_in_xgboost(cut: float) -> None:
    """Infinite where only nulls go apart, denormal, a zero of either sign, none at all."""

    def changed(tree: dict[str, Any]) -> None:
        is_inner = [left != -1 for left in tree["left_children"]]
        tree["split_conditions"] = [
            cut if inner else leaf
            for inner, leaf in zip(is_inner, tree["split_conditions"], strict=True)
        ]

    booster = _said(_booster(max_depth=4), changed)
    assert _is_same(booster, _hard(booster))


def test_leaves_of_either_zero_keep_its_sign() -> None:
    """The base of 0.5 is -0.0 in XGBoost, and stays it while leaves are -0.0."""
    changed: list[np.ndarray] = []
    for zero in (0.0, -0.0):
        leaves = {"split_conditions": [zero]}
        booster = _said(_booster(gamma=1e9, base_score=0.5), lambda t, said=leaves: t.update(said))
        assert _is_same(booster, _rows(4, 40))
        changed.append(np.signbit(_walker(booster).margins(_rows(4, 40))))
    assert changed[0].any() != changed[1].any()


def test_all_trees_count_after_an_early_stop_too() -> None:
    """As `inplace_predict` has it: the best iteration is for others to look at."""
    params, data = {**FIXED, "max_depth": 6, "eta": 1.0}, _data()
    other = xgb.DMatrix(_rows(5, 200), np.arange(200) % 2, feature_types=KINDS,
                        enable_categorical=True, nthread=1)  # fmt: skip
    booster = xgb.train(
        params, data, 30, evals=[(other, "o")], early_stopping_rounds=3, verbose_eval=False
    )
    assert booster.best_iteration + 1 < booster.num_boosted_rounds()
    assert _is_same(booster, _hard(booster))
    first = walker.margins(booster, _rows(6, 20), booster.best_iteration + 1)
    assert first.tobytes() != _walker(booster).margins(_rows(6, 20)).tobytes()


@cache
def _model(**params: object) -> model.Model:
    kinds = {"q": "number", "c": "category"}
    words = tuple(str(n) for n in range(1, CODES))
    features = tuple(
        model.Feature(name=f"f{n}", kind=kinds[kind], label="F", vocabulary=words * (kind == "c"))  # type: ignore[arg-type]
        for n, kind in enumerate(KINDS)
    )
    signature = model.Signature(features=features)
    return model.Model(booster=_booster(**params), signature=signature, calibrator=Calibrator())  # type: ignore[arg-type]


def _fresh(**changes: Any) -> model.Model:
    """Return a model that has no walker yet."""
    return replace(_model(), **changes)


def test_a_model_scores_few_rows_without_xgboost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows go to XGBoost; the bits are the same, on either side."""
    scored, rows = _fresh(), _rows(7, walker.MOST_ROWS + 1)
    wanted = model.margins(scored.booster, rows)
    asked: list[int] = []

    def counted(booster: xgb.Booster, matrix: np.ndarray) -> np.ndarray:
        asked.append(len(matrix))
        return walker.margins(booster, matrix)

    monkeypatch.setattr(model, "margins", counted)
    for n in (0, 1, 2, 64, walker.MOST_ROWS, walker.MOST_ROWS + 1):
        assert scored.score(rows[:n]).margin.tobytes() == wanted[:n].tobytes()
    assert asked == [walker.MOST_ROWS + 1]


def test_a_walker_gives_the_same_bits_on_threads() -> None:
    """Be it made by several at once."""
    scored, rows = _fresh(), _rows(8, 400)
    with ThreadPoolExecutor(4) as threads:
        alone = list(threads.map(lambda row: scored.score(row[None]).margin, rows))
    assert np.concatenate(alone).tobytes() == walker.margins(scored.booster, rows).tobytes()


def test_no_matrix_makes_the_kernel_compile_again() -> None:
    """One that may not be written, or lies otherwise in memory, goes to XGBoost."""
    scored, rows = _fresh(), _rows(9, 20)
    wanted = scored.score(rows).margin.tobytes()
    compiled = len(walker._margins.overloads)
    kept = rows.copy()
    kept.flags.writeable = False
    for odd in (kept, np.asfortranarray(rows), rows.astype(np.float64), rows[::-1][::-1]):
        assert scored.score(odd).margin.tobytes() == wanted
    assert len(walker._margins.overloads) == compiled == 1


def test_a_row_without_its_last_features_is_not_read_beyond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """XGBoost says no, as before; without the check the kernel would read the next row."""
    signature = model.Signature(features=_model().signature.features[:3])
    narrow, rows = _fresh(signature=signature), np.ascontiguousarray(_rows(10, 5)[:, :3])
    with pytest.raises(xgb.core.XGBoostError, match="Number of columns"):
        narrow.score(rows)
    read: list[tuple[int, ...]] = []
    monkeypatch.setattr(walker, "_margins", lambda matrix, *_: read.append(matrix.shape))
    monkeypatch.setattr(Walker, "takes", lambda *_: True)
    narrow._margins(rows)
    assert read == [(5, 3)]


def _garbage(score: Callable[[], object]) -> int:
    """Return how many objects only the collector can free after ten calls."""
    score()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            score()
        return gc.collect()
    finally:
        gc.enable()


def test_scoring_leaves_nothing_to_the_garbage_collector() -> None:
    """A pause of the collector is a slow answer; XGBoost's own call leaves cycles behind."""
    scored, rows = _fresh(), _rows(11, 1)
    theirs = _garbage(lambda: model.margins(scored.booster, rows))
    found = (_garbage(lambda: scored.score(rows)) for _ in range(5))  # other threads leave some too
    assert any(ours < theirs / 10 for ours in found)


def _two_targets() -> xgb.Booster:
    label = np.random.default_rng(1).integers(0, 2, (300, 2))
    return xgb.train(FIXED, xgb.DMatrix(_rows(1, 300)[:, :NUMBERS], label, nthread=1), 3)


def _crossed() -> xgb.Booster:
    """Return trees whose root has its left child after the right one."""

    def change(tree: dict[str, Any]) -> None:
        left, right = tree["left_children"], tree["right_children"]
        left[0], right[0] = right[0], left[0]

    return _said(_booster(), change)


OTHERS: dict[str, Callable[[], xgb.Booster]] = {
    "for 1 target, got gbtree, reg:squarederror": lambda: _booster(objective="reg:squarederror"),
    "count in full, without dropout": lambda: _booster(rate_drop=0.5),
    "for 1 target, got gbtree, binary:logistic, 2": _two_targets,
    "right child must come right after": _crossed,
    "must have a tree, got none": lambda: _booster(rounds=0, base_score=0.3),
}


@pytest.mark.parametrize("words", OTHERS)
def test_trees_of_another_sort_are_scored_by_xgboost(words: str) -> None:
    """As they were before there was a walker."""
    booster = OTHERS[words]()
    with pytest.raises(TreesBroken, match=words):
        _walker(booster)
    signature = model.Signature(features=_model().signature.features[: booster.num_features()])
    scored, rows = _fresh(booster=booster, signature=signature), _rows(12, 9)
    rows = np.ascontiguousarray(rows[:, : booster.num_features()])
    assert scored.walker is None
    assert scored._margins(rows).tobytes() == model.margins(booster, rows).tobytes()


def test_xgboost_itself_scores_crossed_children_otherwise_when_alone() -> None:
    """Why they are refused: the same row, two margins."""
    booster, rows = _crossed(), _rows(13, 50)
    alone = [walker.margins(booster, row[None])[0] for row in rows]
    assert np.array(alone).tobytes() != walker.margins(booster, rows).tobytes()


def _at_most(made: np.ndarray) -> np.ndarray:
    made[made[:, walker.IS_CATEGORY] == 0, walker.VALUE] += 1  # <= instead of <
    return made


def _turned(made: np.ndarray) -> np.ndarray:
    is_low = made[:, walker.SLOT] % walker.SLOTS == walker.LOW % walker.SLOTS
    made[is_low, walker.SLOT] += walker.HIGH - walker.LOW  # nulls go right
    return made


def _always_by_key(made: np.ndarray) -> np.ndarray:
    made[:, walker.IS_CATEGORY] = 0
    return made


def _beyond(made: np.ndarray) -> np.ndarray:
    made[:-1].reshape(-1, CODES + 2)[:, -2] = 1
    return made


def _null_codes(made: np.ndarray) -> np.ndarray:
    table = made[:-1].reshape(-1, CODES + 2)
    table[:, -1] = 1 - table[:, -1]
    return made


def _turned_round(made: walker.Forest) -> walker.Forest:
    return made._replace(order=len(made.order) - 1 - made.order)


def _nudged(made: np.float32) -> np.float32:
    return np.nextafter(made, np.float32(9))


MUTANTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("_inner", _at_most),
    ("_inner", _turned),
    ("_inner", _always_by_key),
    ("_right", _beyond),
    ("_right", _null_codes),
    ("_forest", _turned_round),
    ("_base", _nudged),
]


@pytest.mark.parametrize(("part", "change"), MUTANTS)
def test_a_walker_that_differs_in_a_bit_scores_nobody(
    part: str,
    change: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line in the log, and XGBoost's own scores; the check switched off, wrong ones."""
    right, rows = getattr(walker, part), _hard(_model().booster)[-walker.MOST_ROWS :]
    monkeypatch.setattr(walker, part, lambda *given: change(right(*given)))
    wanted = model.margins(_model().booster, rows)
    scored = _fresh()
    with caplog.at_level(logging.WARNING, logger="serving.model"):
        assert [scored.score(rows).margin.tobytes() for _ in range(2)] == [wanted.tobytes()] * 2
    (line,) = caplog.messages
    assert line.startswith(f"margins must be those of XGBoost {xgb.__version__} to the bit, got ")
    assert "\n" not in line
    monkeypatch.setattr(walker, "_must_be_alike", lambda *_: None)
    assert _fresh().score(rows).margin.tobytes() != wanted.tobytes()


def test_an_xgboost_that_scores_no_row_without_trees_scores_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not asked twice, and nobody gets an error."""

    def refused(*_: object) -> None:
        raise xgb.core.XGBoostError("Check failed: trees\nStack trace:")

    monkeypatch.setattr(xgb.Booster, "load_model", refused)
    scored, rows = _fresh(), _rows(14, 3)
    for _ in range(2):
        margin = scored.score(rows).margin
        assert margin.tobytes() == walker.margins(scored.booster, rows).tobytes()
    (line,) = caplog.messages
    assert line.startswith("XGBoost must score without trees, got Check failed: trees: scores stay")


def test_adding_in_double_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: sums rounded once, at the end."""

    def doubled(matrix: np.ndarray, base: np.float32, forest: walker.Forest) -> np.ndarray:
        single = [
            forest.nodes.view(np.float32)[n, walker.VALUE].astype(np.float64)
            for row in matrix
            for n in [_ends(row, forest)]
        ]
        return (np.float64(base) + np.array(single).sum(axis=1)).astype(np.float32)

    booster, splits = _booster(), Splits.of(_booster())
    monkeypatch.setattr(walker, "_margins", doubled)
    with pytest.raises(walker.NotExact, match="adapt serving/walker"):
        Walker.of(booster, splits)


def _ends(row: np.ndarray, forest: walker.Forest) -> np.ndarray:
    """Return the leaf of each tree."""
    keys = np.full(1 + walker.SLOTS * len(row), walker.LEAST, np.int32)
    walker._fill.py_func(keys, row, forest.codes)
    at = np.arange(len(forest.order))
    for _ in forest.walking:
        value, below, slot, is_category = forest.nodes[at].T
        code = forest.right[np.where(is_category, value + keys[slot], 0)]
        at = below + np.where(is_category, code, keys[slot] > value) * (below != at)
    return at


def test_probes_are_where_trees_part() -> None:
    """At every threshold and beside it, every code and beyond; half of the rows are whole."""
    splits = Splits.of(_booster(rounds=4))
    rows = probes.rows(splits, WIDE)
    assert rows.tobytes() == probes.rows(splits, WIDE).tobytes()
    assert not np.isnan(rows[: probes.ROWS // 2]).any()
    assert np.isnan(rows[probes.ROWS // 2 :]).any(axis=0).all()
    for feature in range(NUMBERS):
        cuts = splits.threshold[splits.feature == feature]
        for value in (cuts, np.nextafter(cuts, np.float32(-9)), np.nextafter(cuts, np.float32(9))):
            assert np.isin(value, rows[:, feature]).mean() > 0.9  # a null may stand in its place
    assert {*range(CODES + 2), -1, -0.5} <= set(rows[:, -1].tolist())
