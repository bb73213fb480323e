"""EconML's part of the bench of effects; run by the Python of an environment of its own:
WORKER FOLDER.

The documented use of DRLearner: two nuisances and a last stage, all by XGBoost, on the folds it is
given, once for each recipe of params.json. It learns one outcome at a time, so there is a learner
for each. Timed after the imports and
after a fit of a part of the rows, by clock and by processor; the last line is one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import econml
import numpy as np
from econml.dr import DRLearner
from xgboost import XGBClassifier, XGBRegressor


def learner(params: dict[str, Any], fold: np.ndarray, seed: int) -> DRLearner:
    """Return a learner that has not learnt, with the parameters of a recipe."""
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
    return DRLearner(
        model_propensity=XGBClassifier(**params["chance"]),
        model_regression=XGBRegressor(**params["outcome"]),
        model_final=XGBRegressor(**params["outcome"]),
        min_propensity=0.01,
        cv=splits,
        random_state=seed,
    )


def main(folder: Path) -> None:
    """Learn the effects of every file of a folder with every recipe of its params."""
    warnings.filterwarnings("ignore")
    params = json.loads((folder / "params.json").read_text())
    said = {name: _learnt(folder, name, recipe) for name, recipe in params.items()}
    print(json.dumps({"of": said, "version": econml.__version__}))


def _learnt(folder: Path, name: str, params: dict[str, Any]) -> dict[str, list[float]]:
    """Learn them with one recipe; return what it took."""
    seconds, processor, alone = [], [], []
    for number, path in enumerate(sorted(folder.glob("data-*.npz"))):
        told = np.load(path)
        x, arm, value, fold = (told[name] for name in ("features", "arm", "value", "fold"))
        if not number:
            few = slice(0, 500)
            learner(params, fold[few], 0).fit(value[few, 0], arm[few], X=x[few]).effect(x[few])
        found, begun, used = [], time.perf_counter(), time.process_time()
        for column in value.T:
            found.append(learner(params, fold, number).fit(column, arm, X=x).effect(x))
            if len(found) == 1:
                alone.append(time.perf_counter() - begun)
        seconds.append(time.perf_counter() - begun)
        processor.append(time.process_time() - used)
        np.save(folder / f"{name}-{number}.npy", np.array(found).T)
    return {"seconds": seconds, "processor": processor, "alone": alone}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
