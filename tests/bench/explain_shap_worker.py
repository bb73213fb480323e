"""Runs in the environment of shap: explains rows as its documentation shows, and times it."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import shap
import xgboost as xgb


def main(folder: Path, singles: int, batches: int) -> None:
    """Time single rows and all of them, with one thread and with as many as there are."""
    rows = np.load(folder / "rows.npy")
    booster = xgb.Booster(model_file=folder / "model.ubj")
    booster.set_param({"nthread": 1})
    explainer = shap.TreeExplainer(booster)
    kinds = booster.feature_types
    np.save(folder / "answers.npy", _explained(explainer, rows, kinds, 1))
    figures = {
        "one": _median([lambda n=n: _explained(explainer, rows[n : n + 1], kinds, 1)
                        for n in range(singles)]),
        "batch": _median([lambda: _explained(explainer, rows, kinds, 1)] * batches) / len(rows),
    }  # fmt: skip
    booster.set_param({"nthread": 0})
    threads = [lambda: _explained(shap.TreeExplainer(booster), rows, kinds, 0)] * batches
    print(json.dumps({**figures, "threads": _median(threads) / len(rows)}))


def _explained(explainer, rows, kinds, threads):  # type: ignore[no-untyped-def]
    data = xgb.DMatrix(rows, feature_types=kinds, enable_categorical=True, nthread=threads)
    return explainer.shap_values(data)


def _median(calls) -> float:  # type: ignore[no-untyped-def]
    seconds = []
    for call in calls:
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1e3


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
