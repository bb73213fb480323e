"""How fast contributions are: ours, shap.TreeExplainer and XGBoost's own, same model and rows.

shap runs in an environment and a process of its own, where it hands the trees to XGBoost; rounds
take turns. All have one thread, and shap once more all that it takes. Rows differ from call to
call, as in a service. Answers are compared with those of shap, and their sums with the margin. The
last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb

from features.views import view
from jobs.train import fit
from serving import model, wording
from serving.calibrator import Calibrator
from tests.bench import explain_shap

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, BATCH, SINGLES, BATCHES, ROUNDS = 20_000, 1_000, 300, 5, 5
TREES, DEPTH, SEED, CODES = 300, 6, 7, 20
VIEWS = ("lead_engagement", "lead_cadence")

type Figures = dict[str, Any]


def main() -> Figures:
    """Measure all, each with the median over the rounds."""
    trained, matrix = _trained()
    rows = matrix[:BATCH].copy()
    figures: Figures = {"trees": TREES, "depth": DEPTH, "features": rows.shape[1]}
    with tempfile.TemporaryDirectory(prefix="bench-explain-") as made:
        folder = Path(made)
        trained.booster.save_model(folder / "model.ubj")
        np.save(folder / "rows.npy", rows)
        home = Path(os.environ.get("FUNNELCAST_HOME") or made).resolve()
        python = explain_shap.environment(home)
        rounds = [_round(trained, rows, folder, python) for _ in range(ROUNDS)]
        figures |= {name: _median([each[name] for each in rounds]) for name in rounds[0]}
        figures |= _checked(trained, rows, folder)
    return figures | {"shap": explain_shap.VERSION if python else None}


def _round(trained: model.Model, rows: np.ndarray, folder: Path, python: Path | None) -> Figures:
    own = _times(trained.contributions, rows)
    peer = _times(lambda part: _xgboost(trained, part), rows)
    singles = _records(trained, rows)
    reasons = _each(lambda n: trained.reasons([singles[n]], top=4))
    figures: Figures = {
        "ms_per_row_1": own["one"],
        "ms_per_row_1000": own["batch"],
        "ms_per_row_1_with_reasons": reasons,
        "vs_xgboost_1": peer["one"] / own["one"],
        "vs_xgboost_1000": peer["batch"] / own["batch"],
    }
    theirs = explain_shap.run(python, folder, (SINGLES, BATCHES)) if python else None
    for name, wanted in (
        ("vs_shap", "batch"),
        ("vs_shap_1", "one"),
        ("vs_shap_threads", "threads"),
    ):
        mine = own["one" if wanted == "one" else "batch"]
        figures[name] = theirs[wanted] / mine if theirs else None
    print(json.dumps({"load": round(os.getloadavg()[0], 1), **_rounded(figures)}), flush=True)
    return figures


def _times(explained: Callable[[np.ndarray], object], rows: np.ndarray) -> dict[str, float]:
    """Return milliseconds per row, alone and of a batch."""
    batches = []
    for _ in range(BATCHES):
        began = time.perf_counter()
        explained(rows)
        batches.append((time.perf_counter() - began) / len(rows))
    one = _each(lambda n: explained(rows[n : n + 1]))
    return {"one": one, "batch": statistics.median(batches) * 1e3}


def _each(explained: Callable[[int], object]) -> float:
    seconds = []
    for number in range(SINGLES):
        began = time.perf_counter()
        explained(number)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1e3


def _xgboost(trained: model.Model, rows: np.ndarray) -> np.ndarray:
    kinds = model.feature_types(trained.signature)
    data = xgb.DMatrix(rows, feature_types=kinds, enable_categorical=True, nthread=1)
    found = trained.booster.predict(data, pred_contribs=True, validate_features=False)
    return np.asarray(found)


def _checked(trained: model.Model, rows: np.ndarray, folder: Path) -> Figures:
    """Return how far ours is from the margin and from the answers of shap."""
    found = trained.contributions(rows)
    answers = folder / "answers.npy"
    apart = np.abs(found[:, :-1] - np.load(answers)).max() if answers.exists() else None
    return {
        "most_off_the_margin": float(np.abs(found.sum(axis=1) - trained.score(rows).margin).max()),
        "most_off_shap": None if apart is None else float(apart),
    }


def _trained() -> tuple[model.Model, np.ndarray]:
    rng = np.random.default_rng(SEED)
    signature = _signature()
    is_text = np.array(model.feature_types(signature)) == "c"
    matrix = rng.gamma(1.5, 2.0, (ROWS, len(is_text))).astype(np.float32)
    matrix[:, is_text] = rng.integers(0, CODES + 1, (ROWS, int(is_text.sum())))
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    known = np.nan_to_num(matrix)
    logit = known[:, 8:20].sum(axis=1) / 12 - (known[:, 0] % 3) + known[:, 6] * known[:, 7] / 9 - 3
    label = (rng.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    kinds = tuple(model.feature_types(signature))
    data = fit.Data(matrix=matrix, label=label, types=kinds, folds=())
    booster = fit.refit(data, {"learning_rate": 0.05, "max_depth": DEPTH}, TREES)
    calibrator = Calibrator()
    return model.Model(booster=booster, signature=signature, calibrator=calibrator), matrix


def _signature() -> model.Signature:
    words = {k: w for name in VIEWS for k, w in wording.wordings(view(name)).items()}
    vocabulary = tuple(f"word {n:02}" for n in range(CODES))
    features = [
        model.Feature(
            name=name,
            kind="category" if said.unit == "text" else "number",
            label=said.subject,
            vocabulary=vocabulary if said.unit == "text" else (),
        )
        for name, said in words.items()
    ]
    return model.Signature(features=tuple(features)).worded(words)


def _records(trained: model.Model, rows: np.ndarray) -> list[dict[str, object]]:
    return [
        {
            feature.name: None if value != value else _value(feature, value)
            for feature, value in zip(trained.signature.features, row, strict=True)
        }
        for row in rows[:SINGLES].tolist()
    ]


def _value(feature: model.Feature, value: float) -> object:
    if feature.kind == "number":
        return value
    return feature.vocabulary[int(value) - 1] if value else "another word"


def _median(values: list[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return round(statistics.median(found), 4) if found else None


def _rounded(figures: Figures) -> Figures:
    return {name: value and round(value, 4) for name, value in figures.items()}


if __name__ == "__main__":
    print(json.dumps(main()))
