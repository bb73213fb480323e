"""The model scores a row alike in any company, and gives reasons that add up."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.train import fit
from jobs.train.space import FIRST
from serving import model
from serving.calibrator import Calibrator

LABELS = {"visits": "Web visits", "fit": "Fit", "region": "Region"}
ROW = {"visits": 3, "fit": 0.25, "region": "eu"}


def _table(rows: int, seed: int = 3) -> pa.Table:
    rng = np.random.default_rng(seed)
    visits, region = rng.poisson(3, rows), rng.integers(0, 4, rows)
    return pa.table(
        {
            "visits": pa.array(visits, pa.int64(), mask=rng.random(rows) < 0.1),
            "fit": pa.array(rng.normal(size=rows), pa.float64()),
            "region": pa.array([None if r == 3 else ("eu", "us", "apac")[r] for r in region]),
            "label": (rng.random(rows) < 1 / (1 + np.exp(2 - 0.5 * visits))).astype(float),
        }
    )


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """600 rows with nulls and categories."""
    return _table(600)


@pytest.fixture(scope="module")
def trained(table: pa.Table) -> model.Model:
    """A small model of them."""
    signature = fit.signature(table, LABELS)
    data = fit.Data(
        matrix=signature.encode(table),
        label=np.asarray(table["label"], np.float32),
        types=tuple(model.feature_types(signature)),
        folds=(),
    )
    booster = fit.refit(data, FIRST, 40)
    calibrator = Calibrator(slope=0.9, intercept=-0.1)
    return model.Model(booster=booster, signature=signature, calibrator=calibrator)


def test_null_unknown_and_known_values_are_encoded_apart(trained: model.Model) -> None:
    """A category becomes its code, an unknown one 0, a null NaN; a number stays itself."""
    rows = [ROW, {**ROW, "region": "mars"}, {"visits": None, "fit": None, "region": None}]
    encoded = trained.encode(rows)
    assert encoded.dtype == np.float32
    assert encoded[:2].tolist() == [[3.0, 0.25, 2.0], [3.0, 0.25, 0.0]]
    assert np.isnan(encoded[2]).all()


def test_table_frame_and_row_dicts_encode_to_the_same_bits(
    trained: model.Model, table: pa.Table
) -> None:
    """The online and the batch path see one matrix."""
    wanted = trained.encode(table)
    dictionary = table.set_column(2, "region", table["region"].combine_chunks().dictionary_encode())
    for rows in (table.to_pandas(), table.to_pylist(), dictionary, table.slice(0)):
        assert trained.encode(rows).tobytes() == wanted.tobytes()
    arrow_backed = table.to_pandas(types_mapper=pd.ArrowDtype)
    assert trained.encode(arrow_backed).tobytes() == wanted.tobytes()


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_of_any_size_encode_alike_from_table_and_dict(number: int) -> None:
    """The way to float32 is the same on both paths, rounding included."""
    signature = model.Signature(features=(model.Feature(name="n", kind="number", label="N"),))
    table = pa.table({"n": pa.array([number], pa.int64())})
    assert signature.encode(table).tobytes() == signature.encode([{"n": number}]).tobytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"visits": "three"}, "'visits' must be a number or null, got str 'three'"),
        ({"region": 7}, "'region' must be a category or null, got int 7"),
        ({"fit": math.inf}, "'fit' must be a number or null, got an infinity"),
        ({"fit": 1e300}, "'fit' must be a number or null, got an infinity"),
        ({"fit": datetime(2024, 1, 1, tzinfo=UTC)}, "'fit' must be a number or null, got datetime"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(
    trained: model.Model, change: dict[str, object], words: str
) -> None:
    """In a row as in a table, the message says column, rule and value."""
    with pytest.raises(model.SignatureMismatch, match=words):
        trained.encode([{**ROW, **change}])
    with pytest.raises(model.SignatureMismatch, match=words.split(",")[0]):
        trained.encode(pa.table({k: [v] for k, v in {**ROW, **change}.items()}))


@pytest.mark.parametrize("kind", [list, pa.Table.from_pylist, pd.DataFrame])
def test_a_missing_column_is_named_with_the_nearest(trained: model.Model, kind: type) -> None:
    """A misspelt feature is found at once."""
    row = {"visit": 3, "fit": 0.25, "region": "eu"}
    with pytest.raises(model.SignatureMismatch, match="'visits', got none: did you mean 'visit'"):
        trained.encode(kind([row]))


def test_a_row_scores_alike_alone_and_in_any_company(trained: model.Model, table: pa.Table) -> None:
    """To the last bit: alone, in batches of any size and order, on any number of threads."""
    matrix = trained.encode(table)
    wanted = trained.score(matrix)
    for size in (1, 2, 7, 63, 64, 65, 257):
        parts = [trained.score(matrix[i : i + size]) for i in range(0, len(matrix), size)]
        assert np.concatenate([p.margin for p in parts]).tobytes() == wanted.margin.tobytes()
        assert (np.concatenate([p.probability for p in parts]) == wanted.probability).all()
    shuffled = np.random.default_rng(0).permutation(len(matrix))
    assert (trained.score(matrix[shuffled]).margin == wanted.margin[shuffled]).all()
    with ThreadPoolExecutor(4) as threads:
        alone = threads.map(lambda row: trained.score(row[None]).probability[0], matrix)
        assert list(alone) == wanted.probability.tolist()


@pytest.mark.parametrize("threads", [2, 4])
def test_a_score_does_not_depend_on_xgboosts_threads(
    trained: model.Model, table: pa.Table, threads: int
) -> None:
    """Another nthread, the same bits."""
    matrix = trained.encode(table)
    wanted = trained.score(matrix).margin.tobytes()
    trained.booster.set_param({"nthread": threads})
    assert trained.score(matrix).margin.tobytes() == wanted
    trained.booster.set_param({"nthread": 1})


def test_contributions_add_up_to_the_margin(trained: model.Model, table: pa.Table) -> None:
    """TreeSHAP with its base sums to the margin, alike alone, in a batch and on any thread."""
    matrix = trained.encode(table)
    shares = trained.contributions(matrix)
    assert shares.shape == (600, 4)
    assert np.abs(shares.sum(axis=1) - trained.score(matrix).margin).max() < 1e-5
    with ThreadPoolExecutor(4) as threads:
        alone = np.concatenate(list(threads.map(trained.contributions, np.split(matrix, 600))))
    assert alone.tobytes() == shares.tobytes()


def test_reasons_are_the_strongest_contributions_with_their_values(
    trained: model.Model, table: pa.Table
) -> None:
    """Strongest first, in a seller's words, with the value as given."""
    rows = table.slice(0, 20)
    for row, reasons, share in zip(
        rows.to_pylist(),
        trained.reasons(rows, top=2),
        trained.contributions(trained.encode(rows)),
        strict=True,
    ):
        wanted = sorted(np.abs(share[:-1]).tolist(), reverse=True)[:2]
        assert [abs(r.contribution) for r in reasons] == wanted
        assert all(r.value == row[r.feature] and r.label == LABELS[r.feature] for r in reasons)
    assert trained.reasons(rows.to_pandas(), top=2) == trained.reasons(rows, top=2)


def test_no_rows_give_no_scores(trained: model.Model) -> None:
    """An empty batch is a batch."""
    empty = trained.encode([])
    assert empty.shape == (0, 3)
    assert trained.score(empty).probability.shape == (0,)
    assert trained.contributions(empty).shape == (0, 4)
    assert trained.reasons([]) == []


def test_a_matrix_of_another_width_is_refused(trained: model.Model) -> None:
    """XGBoost would read past the row."""
    with pytest.raises(model.SignatureMismatch, match=r"shape \(n, 3\), got \(2, 2\)"):
        trained.score(np.zeros((2, 2), np.float32))
